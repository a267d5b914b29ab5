//! Documents that ask for all that there is.

const HEADER: &str = "fragment H on BlockHeader{id num timestamp producer confirmed previous transactionMRoot actionMRoot \
    scheduleVersion newProducers{version producers{producerName blockSigningKey}}}";
const RECEIPT: &str = "fragment R on ActionReceipt{receiver digest globalSequence codeSequence abiSequence \
    authSequences{account sequence}}";
const TRANSACTION: &str = "fragment X on Transaction{expiration refBlockNum refBlockPrefix maxNetUsageWords maxCPUUsageMS \
    delaySec contextFreeActions{...C} actions{...C}} \
    fragment C on Action{account name authorization{actor permission} json data hexData}";
const DEFERRED: &str = "fragment D on DTrxOp{operation sender senderID payer publishedAt delayUntil expirationAt trxID \
    transaction{...X}}";
const ACTION: &str = "fragment A on ActionTrace{seq executionIndex receipt{...R} receiver account name \
    authorization{actor permission} data json hexData ramOps{operation family action payer delta usage} dtrxOps{...D} \
    tableOps{operation table{code table scope}} dbOps{operation oldPayer newPayer key{code table scope key} oldData newData \
    oldJSON{object error} newJSON{object error}} console contextFree elapsed exceptJSON isNotify isMatchingQuery \
    createdActions{executionIndex} creatorAction{executionIndex} closestUnnotifiedAncestorAction{executionIndex}}";
const TRACE: &str = "fragment T on TransactionTrace{id block{...H} status receipt{status cpuUsageMicroSeconds netUsageWords} \
    elapsed netUsage scheduled executedActions{...A} matchingActions{seq} topLevelActions{executionIndex} exceptJSON}";

fn with(document: &str, fragments: &[&str]) -> String {
    [&[document], fragments].concat().join(" ")
}

/// All of a transaction.
pub(super) fn lifecycle() -> String {
    with(
        "query($id: String!){transactionLifecycle(id: $id){id status signatures publicKeys creationIrreversible \
         executionIrreversible cancelationIrreversible transaction{...X} trace{...T} createdBy{...E} canceledBy{...E}}} \
         fragment E on ExternalDTrxOp{srcTrxID block{id num timestamp} op{...D}}",
        &[HEADER, RECEIPT, TRANSACTION, DEFERRED, ACTION, TRACE],
    )
}

/// All of a block but what its transactions did.
pub(super) fn block() -> String {
    with(
        "query($id: String!){block(id: $id){id num dposLIBNum irreversible header{...H} merkleRoot{nodeCount activeNodes} \
         executedTransactionCount transactionTraces{edges{cursor node{id}} pageInfo{startCursor endCursor hasNextPage \
         hasPreviousPage}}}}",
        &[HEADER],
    )
}

/// The history of an account.
pub(super) fn history() -> String {
    with(
        "query($account: String!){getAccountHistoryActions(account: $account){edges{cursor node{blockNum blockID blockTime \
         trxID seq executionIndex receipt{...R} receiver account name authorization{actor permission} data json hexData \
         console contextFree isNotify}} pageInfo{startCursor endCursor hasNextPage hasPreviousPage}}}",
        &[RECEIPT],
    )
}
