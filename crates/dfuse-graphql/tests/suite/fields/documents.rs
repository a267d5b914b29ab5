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
const CHANGE: &str = "fragment O on DBOp{operation oldPayer newPayer key{code table scope key} oldData newData \
    oldJSON{object error} newJSON{object error}}";
const ACTION: &str = "fragment A on ActionTrace{seq executionIndex receipt{...R} receiver account name \
    authorization{actor permission} data json hexData ramOps{operation family action payer delta usage} dtrxOps{...D} \
    tableOps{operation table{code table scope}} dbOps{...O} console contextFree elapsed exceptJSON isNotify isMatchingQuery \
    createdActions{executionIndex} creatorAction{executionIndex} closestUnnotifiedAncestorAction{executionIndex}}";
const TRACE: &str = "fragment T on TransactionTrace{id block{...H} status receipt{status cpuUsageMicroSeconds netUsageWords} \
    elapsed netUsage scheduled executedActions{...A} matchingActions{seq} topLevelActions{executionIndex} exceptJSON \
    details{...S}}";

const DETAIL: &str = "fragment S on SearchDetail{reason fields lowBlockNum highBlockNum message}";

/// What a whole trace needs.
const OF_TRACE: &[&str] = &[HEADER, RECEIPT, TRANSACTION, DEFERRED, CHANGE, ACTION, TRACE, DETAIL];
const ROW: &str = "fragment W on TableRow{key payer blockNum data json{object error}}";
const PAGE: &str = "fragment P on PageInfo{startCursor endCursor hasNextPage hasPreviousPage}";
const STATE: &str = "blockRef{number id} isIrreversible irreversibleBlockNum stateFromBlockNum isComplete";
const BALANCES: &str = "edges{cursor node{contract account symbol precision balance}} pageInfo{...P}";
/// What an answer may lack.
const COVERAGE: &str = "filtered stateFromBlockNum holes{lowBlockNum highBlockNum} details{...S}";

pub(super) const BY_TIME: &str = "query($time: Time!){blockIDByTime(time: $time, comparator: EQ){time num id}}";
pub(super) const AT_CREATION: &str =
    "query($account: String!){blockIDAtAccountCreation(account: $account){time num id}}";

fn with(document: &str, fragments: &[&str]) -> String {
    [&[document], fragments].concat().join(" ")
}

/// How much a search finds.
pub(super) fn count() -> String {
    let document = format!(
        "query($query: String!){{searchCount(query: $query){{transactions actions lowBlockNum highBlockNum isComplete \
         {COVERAGE}}}}}"
    );
    with(&document, &[DETAIL])
}

/// What answers lack.
pub(super) fn coverage() -> String {
    let result = format!("{{{COVERAGE} results{{block{{num}} filtered details{{...S}} trace{{id details{{...S}}}}}}}}");
    let document = format!(
        "query($query: String!, $account: String!){{searchTransactionsForward(query: $query, limit: 1000){result} \
         searchTransactionsBackward(query: $query, limit: 1000){result} searchCount(query: $query){{{COVERAGE}}} \
         getAccountHistoryActions(account: $account){{{COVERAGE}}}}}"
    );
    with(&document, &[DETAIL])
}

/// Of which height state is, and whether it is all there is.
pub(super) fn state() -> String {
    let table = "code: $code, table: $table, scope: $scope";
    format!(
        "query($code: String!, $table: String!, $scope: String!, $key: String!, $from: Uint32!){{\
         tableRows({table}){{{STATE}}} tableRow({table}, key: $key){{{STATE}}} tableDiff({table}, fromBlockNum: $from)\
         {{{STATE}}} tokens{{{STATE}}} accountBalances(account: $scope){{{STATE}}}}}"
    )
}

/// All of a transaction.
pub(super) fn lifecycle() -> String {
    with(
        "query($id: String!){transactionLifecycle(id: $id){id status signatures publicKeys creationIrreversible \
         executionIrreversible cancelationIrreversible transaction{...X} trace{...T} createdBy{...E} canceledBy{...E}}} \
         fragment E on ExternalDTrxOp{srcTrxID block{id num timestamp} op{...D}}",
        OF_TRACE,
    )
}

/// All of a block; of its transactions all, or where they are.
pub(super) fn block(is_whole: bool) -> String {
    let (trace, fragments) = if is_whole { ("...T", OF_TRACE) } else { ("id scheduled block{...H}", &[HEADER][..]) };
    let document = format!(
        "query($id: String!){{block(id: $id){{id num dposLIBNum irreversible header{{...H}} merkleRoot{{nodeCount \
         activeNodes}} executedTransactionCount transactionTraces{{edges{{cursor node{{{trace}}}}} pageInfo{{startCursor \
         endCursor hasNextPage hasPreviousPage}}}}}}}}"
    );
    with(&document, fragments)
}

/// The history of an account.
pub(super) fn history() -> String {
    let document = format!(
        "query($account: String!, $cursor: String){{getAccountHistoryActions(account: $account, cursor: $cursor){{edges{{\
         cursor node{{blockNum blockID blockTime trxID seq executionIndex receipt{{...R}} receiver account name \
         authorization{{actor permission}} data json hexData console contextFree isNotify}}}} pageInfo{{...P}} {COVERAGE}}}}}"
    );
    with(&document, &[RECEIPT, PAGE, DETAIL])
}

/// A search, as a query or a subscription.
pub(super) fn search(root: &str, direction: &str) -> String {
    let undo = if direction == "Forward" { "undo" } else { "" };
    let result = format!(
        "{undo} cursor isIrreversible irreversibleBlockNum block{{...H}} trace{{...T}} filtered details{{...S}}"
    );
    let answer = if root == "query" { format!("cursor {COVERAGE} results{{{result}}}") } else { result };
    let document = format!(
        "{root}($query: String!, $cursor: String, $low: Int64, $high: Int64){{searchTransactions{direction}(query: $query, \
         cursor: $cursor, lowBlockNum: $low, highBlockNum: $high){{{answer}}}}}"
    );
    with(&document, OF_TRACE)
}

/// The head of the chain.
pub(super) fn head() -> String {
    with("subscription{head{block{...H} irreversibleBlockNum irreversibleBlockID}}", &[HEADER])
}

/// What becomes of a table, from the first block on.
pub(super) fn deltas() -> String {
    with(
        "subscription($code: String!, $table: String!, $scope: String!, $high: Uint32){tableDeltas(code: $code, \
         table: $table, scope: $scope, lowBlockNum: 2, highBlockNum: $high){undo cursor isIrreversible irreversibleBlockNum \
         block{...H} deltas{trace{id block{...H} status} dbOp{...O}}}}",
        &[HEADER, CHANGE],
    )
}

/// The rows of a table.
pub(super) fn rows() -> String {
    let document = format!(
        "query($code: String!, $table: String!, $scope: String!, $at: Uint32){{tableRows(code: $code, table: $table, \
         scope: $scope, blockNum: $at, limit: 1000){{{STATE} cursor rows{{...W}}}}}}"
    );
    with(&document, &[ROW])
}

/// A row of a table.
pub(super) fn row() -> String {
    let document = format!(
        "query($code: String!, $table: String!, $scope: String!, $key: String!){{tableRow(code: $code, table: $table, \
         scope: $scope, key: $key, keyEncoding: NAME){{{STATE} row{{...W}}}}}}"
    );
    with(&document, &[ROW])
}

/// What a table gained and lost since a block.
pub(super) fn difference() -> String {
    let document = format!(
        "query($code: String!, $table: String!, $scope: String!, $from: Uint32!){{tableDiff(code: $code, table: $table, \
         scope: $scope, fromBlockNum: $from){{{STATE} fromBlockNum toBlockNum rows{{key old{{...W}} new{{...W}}}}}}}}"
    );
    with(&document, &[ROW])
}

/// All tokens.
pub(super) fn tokens() -> String {
    let document = format!(
        "query($limit: Uint32, $cursor: String){{tokens(limit: $limit, cursor: $cursor){{{STATE} edges{{cursor node{{contract \
         symbol issuer precision holders maximumSupply totalSupply}}}} pageInfo{{...P}}}}}}"
    );
    with(&document, &[PAGE])
}

/// Who has how much of a token.
pub(super) fn token_balances() -> String {
    let document = format!(
        "query($contract: String!, $symbol: String!){{tokenBalances(contract: $contract, symbol: $symbol, limit: 100){{\
         {STATE} {BALANCES}}}}}"
    );
    with(&document, &[PAGE])
}

/// What an account has.
pub(super) fn account_balances() -> String {
    let document =
        format!("query($account: String!){{accountBalances(account: $account, limit: 100){{{STATE} {BALANCES}}}}}");
    with(&document, &[PAGE])
}
