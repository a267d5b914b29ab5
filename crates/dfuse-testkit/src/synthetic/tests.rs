use std::collections::BTreeMap;

use super::*;
use dfuse_antelope::Name;

const SOFTWARE: [Software; 4] =
    [Software::Leap, Software::Spring { savanna_from: 30 }, Software::Eosio20, Software::Eosio21];

const MERKLE_LEAVES: [&str; 3] = [
    "00000001e038daba7ed85ceca18f7c38f93194d86814358f40073ba6facc4336",
    "00000002fd1fdc0e666eabb28924da11f79fc3153ff28cc35971805ea3548b92",
    "00000003f0c8d191675046a40d8cba8d7870baa61bf63e7fb2e4c5349b14f324",
];
const MERKLE_NODES: [&str; 3] = [
    "00000003f0c8d191675046a40d8cba8d7870baa61bf63e7fb2e4c5349b14f324",
    "9a1b407a1725c5cf2aa3101c1288b91bee29de42440d9cfc23897839f12a7fcc",
    "148598b0be84213a6d96f12360bb35d6d8eff4e15832871724c869282e23d144",
];

fn varied(seed: u64) -> Builder {
    SyntheticChain::builder().seed(seed).blocks(120).transactions_per_block(2..=8)
}

fn log(builder: &Builder) -> Vec<u8> {
    let mut log = Vec::new();
    builder.clone().build().write_log(&mut log).unwrap();
    log
}

fn lines(log: &[u8]) -> impl Iterator<Item = Vec<&str>> {
    let text = std::str::from_utf8(log).expect("text from the chain is in hex");
    text.lines().map(|line| line.strip_prefix("DMLOG ").expect("nothing but deep-mind lines").split(' ').collect())
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for software in SOFTWARE {
        let builder = varied(1).software(software).random_forks(60, 4);
        assert!(log(&builder) == log(&builder));
        assert!(log(&builder) != log(&builder.clone().seed(2)));
    }
}

#[test]
fn every_line_has_its_fields() {
    for software in SOFTWARE {
        let old = software == Software::Eosio20;
        let log = log(&varied(3).software(software).random_forks(60, 4));
        for fields in lines(&log) {
            let (second, count) = (fields.get(1).copied().unwrap_or_default(), fields.len());
            let expected = match fields[0] {
                "DEEP_MIND_VERSION" => [4, 4, 2, 3][SOFTWARE.iter().position(|it| *it == software).unwrap()],
                "START_BLOCK" => 2,
                "ACCEPTED_BLOCK" | "APPLIED_TRANSACTION" | "SWITCH_FORK" | "CREATION_OP" => 3,
                "ACCEPTED_BLOCK_V2" => 8,
                "TRX_OP" => 5,
                "TBL_OP" | "KV_OP" => 7,
                "DB_OP" => 9,
                "RAM_OP" => 9,
                "RLIMIT_OP" => 4,
                "PERM_OP" => 5 - usize::from(old),
                "FEATURE_OP" => 4 + usize::from(second == "PRE_ACTIVATE"),
                "DTRX_OP" if second == "FAILED" => 3,
                "DTRX_OP" => 11,
                "ABIDUMP" if second == "ABI" => 4 + usize::from(old),
                "ABIDUMP" if second == "START" && !old => 4,
                "ABIDUMP" => 2,
                other => panic!("no line {other}"),
            };
            assert_eq!(count, expected, "{fields:?}");
        }
    }
}

#[test]
fn every_kind_of_line_and_status_occurs() {
    let mut kinds = BTreeMap::new();
    let mut statuses = [0; 5];
    let mut keep = |builder: Builder| {
        let log = log(&builder);
        for fields in lines(&log) {
            let kind = match fields[0] {
                "RAM_OP" => fields[3..6].join(" "),
                "START_BLOCK" | "ACCEPTED_BLOCK" | "ACCEPTED_BLOCK_V2" | "APPLIED_TRANSACTION" => fields[0].to_owned(),
                _ => fields[..2.min(fields.len())].join(" "),
            };
            *kinds.entry(kind).or_insert(0) += 1;
        }
        for transaction in builder.build().flat_map(|block| block.facts.transactions) {
            match transaction.status {
                Some(status) => statuses[status as usize] += 1,
                None => assert!(transaction.reverted),
            }
        }
    };
    keep(varied(4).blocks(400));
    keep(varied(5).blocks(200).software(Software::Eosio21));
    keep(varied(6).software(Software::Spring { savanna_from: 30 }));
    assert!(statuses.iter().all(|count| *count > 0), "{statuses:?}");
    for kind in [
        "CREATION_OP CFA_INLINE",
        "CREATION_OP INLINE",
        "DB_OP REM",
        "DTRX_OP CANCEL",
        "DTRX_OP FAILED",
        "DTRX_OP MODIFY_CANCEL",
        "DTRX_OP MODIFY_CREATE",
        "DTRX_OP PUSH_CREATE",
        "FEATURE_OP ACTIVATE",
        "FEATURE_OP PRE_ACTIVATE",
        "KV_OP INS",
        "KV_OP REM",
        "KV_OP UPD",
        "PERM_OP REM",
        "PERM_OP UPD",
        "TBL_OP REM",
        "TRX_OP CREATE",
        "RLIMIT_OP ACCOUNT_LIMITS",
        "ACCEPTED_BLOCK_V2",
        "abi add setabi",
        "abi remove setabi",
        "abi update setabi",
        "auth add updateauth_create",
        "auth remove deleteauth",
        "auth update updateauth_update",
        "auth_link add linkauth",
        "auth_link remove unlinkauth",
        "code update setcode",
        "deferred_trx push deferred_trx_pushed",
        "secondary_index add secondary_index_update_add_new_payer",
        "table_row update primary_index_update",
        "kv create .",
        "kv update .",
        "kv erase .",
    ] {
        assert!(kinds.contains_key(kind), "no {kind}");
    }
}

#[test]
fn blocks_follow_their_parents_and_finality_never_goes_back() {
    for software in SOFTWARE {
        let chain = varied(7).software(software).random_forks(100, 5).lib_lag(4).build();
        let mut blocks = BTreeMap::new();
        let mut head: Option<SyntheticBlock> = None;
        for block in chain {
            assert_eq!(block.id.block_num(), block.number);
            assert_eq!(block.previous.block_num() + 1, block.number);
            if let Some(head) = &head {
                assert!(block.lib >= head.lib || block.switch.is_some());
                match block.switch {
                    Some((from, _)) => assert_eq!(from, head.id),
                    None => assert_eq!(block.previous, head.id),
                }
                let parent: &SyntheticBlock = &blocks[&block.previous];
                assert!(block.lib >= parent.lib && block.slot > parent.slot);
                // What is undone was never final.
                assert!(parent.number >= head.lib);
            }
            blocks.insert(block.id, block.clone());
            head = Some(block);
        }
        assert!(blocks.len() > 120);
    }
}

#[test]
fn a_branch_that_is_joined_again_has_the_same_blocks() {
    let fork = Fork { after: 30, branches: vec![3, 4], rejoin: Some(2) };
    let blocks: Vec<_> = varied(8).fork(fork).build().skip_while(|block| block.number <= 30).take(12).collect();
    assert_eq!(blocks.iter().map(|block| block.number - 30).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 5]);
    let (first, again) = (&blocks[..3], &blocks[7..10]);
    for (first, again) in first.iter().zip(again) {
        assert_eq!((first.id, &first.facts), (again.id, &again.facts));
        assert!(again.lines.ends_with(&first.lines));
    }
    assert_eq!(blocks[3].switch, Some((blocks[2].id, blocks[6].id)));
    assert_eq!(blocks[7].switch, Some((blocks[6].id, blocks[11].id)));
}

#[test]
fn branches_share_transactions() {
    let blocks: Vec<_> = varied(9).shared(1000).fork(Fork::new(40, 3, 4)).build().collect();
    let ids =
        |blocks: &[SyntheticBlock]| blocks.iter().flat_map(|block| block.facts.receipts.clone()).collect::<Vec<_>>();
    let root = blocks.iter().position(|block| block.number == 40).unwrap();
    let (losing, winning) = (ids(&blocks[root + 1..root + 4]), ids(&blocks[root + 4..root + 8]));
    assert!(losing.iter().filter(|id| winning.contains(id)).count() > 3);
    assert!(winning.iter().any(|id| !losing.contains(id)));
}

#[test]
fn a_stalled_lib_stays() {
    let libs: BTreeMap<_, _> = varied(10).stall_lib(50..=90).build().map(|block| (block.number, block.lib)).collect();
    assert_eq!((libs[&49], libs[&90], libs[&91]), (37, 37, 79));
}

#[test]
fn tokens_add_up_on_every_branch() {
    let mut history = History::new();
    let blocks: Vec<_> = varied(11).random_forks(80, 4).build().collect();
    blocks.iter().for_each(|block| history.record(block));
    let token = Name::literal("eosio.token");
    let amount = |row: &Row| i64::from_le_bytes(row.data[..8].try_into().unwrap());
    for block in blocks.iter().step_by(7) {
        let rows = history.rows(&block.id);
        let mut balances = BTreeMap::new();
        for (key, row) in
            rows.iter().filter(|(key, _)| key.table.code == token && key.table.table == Name::literal("accounts"))
        {
            assert!(amount(row) >= 0);
            *balances.entry(key.primary_key).or_insert(0) += amount(row);
        }
        let stats = rows.iter().filter(|(key, _)| key.table.table == Name::literal("stat"));
        let supplies: BTreeMap<_, _> = stats.map(|(key, row)| (key.primary_key, amount(row))).collect();
        assert_eq!(balances, supplies, "at {}", block.number);
        if let Some((key, row)) = rows.iter().next_back() {
            assert_eq!(history.row(&block.id, key).as_ref(), Some(row));
        }
    }
}

#[test]
fn ram_usage_adds_up() {
    // The running usage on every line is that of the line before, plus the delta, on the branch at hand.
    for block in varied(12).build() {
        assert!(block.facts.ram.values().all(|usage| *usage >= 0));
    }
    let log = log(&varied(12).mix(Mix { deferred: 0, ..Mix::varied() }).failing_onblock(0));
    let mut usage = BTreeMap::new();
    for fields in lines(&log).filter(|fields| fields[0] == "RAM_OP") {
        let (payer, now, delta): (_, i64, i64) = (fields[6], fields[7].parse().unwrap(), fields[8].parse().unwrap());
        let before = usage.insert(payer.to_owned(), now).unwrap_or(0);
        assert_eq!(before + delta, now, "{fields:?}");
    }
}

#[test]
fn the_blocks_root_is_that_of_a_real_node() {
    // Blocks 1 to 3 of a Leap 4.1 node, and its `blockroot_merkle` at block 4.
    let leaf = |hex: &str| hex.parse::<Checksum256>().unwrap();
    let mut tree = wire::IncrementalMerkle::default();
    for (number, id) in MERKLE_LEAVES.iter().enumerate() {
        tree.append(leaf(id));
        assert_eq!(tree.node_count, number as u64 + 1);
    }
    assert_eq!(tree.active_nodes.iter().map(Checksum256::to_string).collect::<Vec<_>>(), MERKLE_NODES);
}

#[test]
fn busy_is_busy() {
    let blocks: Vec<_> = SyntheticChain::builder().busy().blocks(60).build().skip(15).collect();
    let transactions = blocks.iter().map(|block| block.facts.receipts.len()).sum::<usize>() / blocks.len();
    let actions = blocks.iter().flat_map(|block| &block.facts.transactions).map(|it| it.actions.len());
    let actions = actions.sum::<usize>() / blocks.len();
    assert!((30..=40).contains(&transactions), "{transactions}");
    assert!((120..=180).contains(&actions), "{actions}");
}
