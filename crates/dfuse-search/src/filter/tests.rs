use std::cell::OnceCell;

use dfuse_antelope::{
    Checksum256, Name,
    model::{
        Action, ActionTrace, Block, PermissionLevel, TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
};
use dfuse_index::{BlockContext, ExecutedAction};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{
    eval::{Evaluation, Facts},
    program::Program,
    value::{NoValue, Value},
    variable::Variable,
    *,
};

/// A transfer of the synthetic kind, with data of many shapes.
struct Transfer(OnceCell<Json>);

impl Facts for Transfer {
    fn get(&self, variable: Variable) -> Option<Value<'_>> {
        let text = |text: &'static str| Value::Text(text.into());
        let data = || {
            json!({
                "from": "alice", "to": "bob", "quantity": "1.0000 EOS", "count": 7, "ratio": 0.5, "big": u64::MAX,
                "none": null, "list": ["a", "b"], "nested": {"deep": {"er": [1, 2, 3]}}, "flag": true, "": "unnamed",
            })
        };
        Some(match variable {
            Variable::Receiver | Variable::Account => text("eosio.token"),
            Variable::Action => text("transfer"),
            Variable::Auth => Value::list(["alice", "alice@active"].into_iter().map(text)),
            Variable::Input => Value::Bool(true),
            Variable::Notif | Variable::Scheduled => Value::Bool(false),
            Variable::BlockNum => Value::Uint(500),
            Variable::TrxActionCount => Value::Int(3),
            Variable::Data => Value::Json(self.0.get_or_init(data)),
            _ => return None,
        })
    }
}

fn run(text: &str) -> Result<bool, NoValue> {
    let program = Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Evaluation::new(&Transfer(OnceCell::new())).run(&program)
}

#[test]
fn true_of_a_transfer() {
    for text in [
        "true",
        "receiver == 'eosio.token'",
        "receiver == account && !notif",
        "action in ['issue', \"transfer\"]",
        "action in ['issue'] || data.to == 'bob'",
        "'alice@active' in auth && !('bob' in auth)",
        "auth.exists(a, a.endsWith('@active'))",
        "auth.all(a, a.startsWith('alice')) && auth.exists_one(a, a == 'alice')",
        "auth.filter(a, a.contains('@')).size() == 1 && size(auth) == 2",
        "auth.map(a, size(a)) == [5, 12]",
        "data.from == 'alice' && data['to'] == 'bob'",
        "has(data.to) && !has(data.nothing)",
        "data.quantity.endsWith(' EOS') && data.quantity.matches('^[0-9.]+ [A-Z]+$')",
        "matches(data.from, 'lic')",
        "data.count > 5 && data.count <= 7 && data.count == 7u && data.ratio < 1.5 && data.count != 7.5",
        "data.big == 18446744073709551615u && data.big > 5",
        "data.list[1] == 'b' && 'a' in data.list && data.list == ['a', 'b'] && data.list + ['c'] != data.list",
        "data.nested.deep.er.exists(x, x * 2 == 4) && data.nested.deep.er.all(x, x in [1, 2, 3])",
        "data.nested == data.nested && 'deep' in data.nested && data.exists(name, name == 'memo') == false",
        "data.none == null && data.flag && data.flag ? true : false",
        "block_num >= 500u && block_num / 2u == 250u && block_num % 2u == 0u && block_num == 500",
        "trx_action_count + 1 == 4 && -trx_action_count < 0 && - -1 == 1 && 3 - 1 - 1 == 1 && 2 + 3 * 4 == 14",
        "'a' + 'b' == 'ab' && 'a' < 'b' && size('h\\u00e9') == 2 && r'\\d' == '\\\\d' && '\\x41' == 'A'",
        "int('5') == 5 && uint(5) == 5u && double('0.5') == data.ratio && string(7) == '7' && int(data.ratio) == 0",
        "0x10 == 16 && 1e3 == 1000.0 && .5 == 0.5",
        // The other side decides.
        "data.nothing == 'x' || input",
        "!(data.nothing == 'x' && notif)",
        "data.list.exists(x, x.size() > 0 || x.nothing)",
        "[1, 'x', 2].exists(x, x < 0 || x == 2)",
        "input // a comment\n  && true",
        "notif ? data.nothing == 1 : input",
        "[['a'], ['b']].exists(x, x.exists(y, y == 'b') && x == ['b'])",
    ] {
        assert_eq!(run(text), Ok(true), "{text}");
        assert_eq!(run(&format!("!({text})")), Ok(false), "{text}");
    }
}

#[test]
fn without_a_value() {
    for text in [
        "data.nothing == 'x'",
        "data.to.nothing == 'x'",
        "data.count.exists(x, x == 1)",
        "data.to > 5",
        "data.list[2] == 'c'",
        "data.list[-1] == 'a'",
        "data.count + 'x' == 'x'",
        "data.count",
        "data.to && input",
        "!data.to",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "0u - 1u > 0u",
        "int('five') == 5",
        "uint(-1) == 1u",
        "transaction_id == 'x'",
        "has(data.to.x)",
        // Too much work.
        "['x'].map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a)\
         .map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a)\
         .map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).size() == 1",
    ] {
        assert_eq!(run(text), Err(NoValue), "{text}");
    }
    let each = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].all(x, ";
    let deep = format!("{}true{}", each.repeat(7), ")".repeat(7));
    assert_eq!(run(&deep), Err(NoValue));
}

#[test]
fn not_programs() {
    for (text, message) in [
        ("receiver = 'x'", "'=' has no meaning here at column 9"),
        ("receiver == 'x", "a text that does not end at column 12"),
        (
            "reciever == 'x'",
            "there is no \"reciever\"; there are receiver, account, action, auth, data, input, notif, ",
        ),
        ("db.table == 'x'", "\"db\" cannot be used in filters at column 0"),
        ("ram.consumed == 'x'", "\"ram\" cannot be used in filters at column 0"),
        ("receiver", "a filter is true or false, this is string at column 0"),
        ("[input]", "a filter is true or false, this is a list at column 0"),
        ("receiver == 5", "this operator does not take string and int at column 9"),
        ("receiver in 'x'", "this operator does not take string and string at column 9"),
        ("5 in auth", "this operator does not take int and a list at column 2"),
        ("block_num + 1 == 5", "this operator does not take uint and int at column 10"),
        ("auth < ['x']", "this operator does not take a list and a list at column 5"),
        ("receiver && input", "\"&&\" takes bool, this is string at column 0"),
        ("input || receiver", "\"||\" takes bool, this is string at column 9"),
        ("!receiver", "\"!\" takes bool, this is string at column 1"),
        ("-receiver == 'x'", "\"-\" does not take string at column 0"),
        ("receiver ? input : notif", "\"?\" takes bool, this is string at column 0"),
        ("receiver.to == 'x'", "string has no fields at column 9"),
        ("receiver[0] == 'x'", "string has no item of int at column 9"),
        ("input.exists(x, x)", "exists takes a list, this is bool at column 0"),
        ("auth.exists(x, y == 'x')", "there is no \"y\"; "),
        ("auth.exists(x, x)", "exists takes bool, this is string at column 15"),
        ("auth.exists('x', true)", "expected the name of a variable, as in exists(x, x == 1) at column 12"),
        ("auth.exists(x)", "expected \",\", got \")\" at column 13"),
        ("receiver.startsWith()", "startsWith takes 1 arguments here, got 0 at column 9"),
        ("receiver.startsWith(5)", "startsWith does not take int at column 20"),
        ("receiver.beginsWith('x')", "there is no function beginsWith at column 9"),
        ("exists(auth)", "there is no function exists at column 0"),
        ("receiver.matches('(')", "not a pattern: "),
        ("receiver.matches(action)", "a pattern is a text in quotes, so that it is read once at column 17"),
        ("has(receiver)", "has takes a field, as in has(data.to) at column 4"),
        ("input &&", "expected a value, got the end at column 8"),
        ("input notif", "expected an operator or the end, got \"notif\" at column 6"),
        ("(input", "expected \")\", got the end at column 6"),
        ("[input, notif", "expected \",\" or \"]\", got the end at column 13"),
        ("{'a': 1} == data", "expected a value, got \"{\" at column 0"),
        ("data.", "expected a name after \".\" at column 5"),
        ("data.5", "expected an operator or the end, got a number at column 4"),
        ("18446744073709551616 == 1", "not a number, or one that is too large at column 0"),
        ("9223372036854775808 == 1", "not a number, or one that is too large at column 0"),
        ("receiver == '\\q'", "an unknown escape in a text at column 13"),
        ("input\n&& receiver", "\"&&\" takes bool, this is string at line 2 column 4"),
        ("input; notif", "';' has no meaning here at column 5"),
        ("\u{e9} == 1", "'é' has no meaning here at column 0"),
    ] {
        let error = Program::compile(text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
    for (open, inner, close) in
        [("(", "input", ")"), ("[", "1", "][0]"), ("!", "input", ""), ("input && (", "input", ")")]
    {
        let text = |count: usize| format!("{}{inner}{}", open.repeat(count), close.repeat(count));
        if open != "!" {
            let error = Program::compile(&text(4000)).unwrap_err().to_string();
            assert!(error.starts_with("more than 48 expressions within each other at column "), "{error}");
        }
        assert!(Program::compile(&text(8)).is_ok() || open == "[");
    }
    let error = Program::compile(&format!("1{} == 1", " + 1".repeat(3000))).unwrap_err().to_string();
    assert!(error.starts_with("more than 48 expressions"), "{error}");
    // Operands in a row are not within each other.
    assert!(Program::compile(&vec!["receiver == 'x'"; 900].join(" || ")).is_ok());
    assert!(Program::compile(&"!".repeat(5000)).is_err());
}

#[test]
fn settings_with_several_programs() {
    let all = [Filter::new("", "", ""), Filter::new("*", "false", SYSTEM_ACTIONS), Filter::new("true", "", "false")];
    assert!(all.into_iter().all(|filter| filter.unwrap() == Filter::default()));
    let refused = |text: &str| Filter::new(text, "", "").unwrap_err().to_string();
    assert_eq!(refused("receiver"), "a filter is true or false, this is string at column 0 in \"receiver\"");
    assert_eq!(
        refused("#x;input"),
        "expected the number of a block and a semicolon after \"#\" at column 1 in \"#x;input\""
    );
    assert!(refused("# 5;input").starts_with("expected the number of a block"));
    assert!(refused("#5 ;input").starts_with("expected the number of a block"));
    assert!(refused("#5").starts_with("expected the number of a block"));
    assert!(refused("5;input").starts_with("';' has no meaning here at column 1"));
    assert!(refused("#5;input;;;#5;notif").starts_with("there is another program from block 5 on"));
    assert!(refused("input;;;notif").starts_with("there is another program from block 0 on"));
    assert!(refused(&format!("receiver == '{}'", "x".repeat(MAX_FILTER_BYTES))).contains("at most 16384"));

    let chosen = Filter::new("#20; input ;;; *;;;#10;notif", "#15;scheduled", "").unwrap();
    assert!(!chosen.passes_all());
    assert_eq!(chosen, Filter::new("#10;notif;;;#20;input;;;", "#15;scheduled", "").unwrap());
    assert_ne!(chosen, Filter::new("#10;notif;;;#21;input;;;", "#15;scheduled", "").unwrap());
    let verdicts = |filter: &Filter, number: u32| verdicts(filter, number, &mut || panic!("nobody asks for data"));
    use Verdict::{Fails, Passes, System};
    // An input action, a notification, `eosio:setabi`.
    for (number, expected) in
        [(9, [Passes; 3]), (10, [Fails, Passes, Fails]), (19, [Fails, Passes, Fails]), (20, [Passes, Fails, Passes])]
    {
        assert_eq!(verdicts(&chosen, number), expected, "{number}");
    }
    let system = Filter::new("receiver == 'game'", "notif", SYSTEM_ACTIONS).unwrap();
    assert_eq!(verdicts(&system, 5), [Passes, Fails, System]);
}

/// What the filter says of an input action and a notification of it, and of `eosio:setabi`.
fn verdicts(
    filter: &Filter,
    number: u32,
    decode: &mut dyn FnMut() -> dfuse_index::Result<Option<Json>>,
) -> [Verdict; 3] {
    let name = |text: &str| text.parse::<Name>().unwrap();
    let actions = [("game", "game", "play", 0), ("bob", "game", "play", 1), ("eosio", "eosio", "setabi", 0)];
    let action_traces = (0u32..).zip(actions).map(|(at, (receiver, account, action, creator))| ActionTrace {
        receipt: Some(Default::default()),
        receiver: name(receiver),
        action: Action {
            account: name(account),
            name: name(action),
            authorization: vec![PermissionLevel { actor: name("alice"), permission: name("active") }],
            ..Default::default()
        },
        action_ordinal: at + 1,
        creator_action_ordinal: creator,
        execution_index: at,
        ..Default::default()
    });
    let receipt = Some(TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() });
    let trace = TransactionTrace { receipt, action_traces: action_traces.collect(), ..Default::default() };
    let block = Block {
        number,
        id: Checksum256::sha256(b"block"),
        unfiltered_transaction_traces: vec![trace],
        ..Default::default()
    };
    let context = BlockContext::new(&block);
    let actions: Vec<ExecutedAction<'_>> = context.executed_actions().collect();
    let facts = TransactionFacts::default();
    let verdict =
        |action: &ExecutedAction<'_>| filter.verdict(&ActionFacts::new(&block, *action, &facts, &mut *decode)).unwrap();
    actions.iter().map(verdict).collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn variables_of_an_action() {
    let mut count = 0;
    let mut holds = |text: &str| {
        let mut data = || {
            count += 1;
            Ok(Some(json!({"moves": ["left"]})))
        };
        verdicts(&Filter::new(text, "", "").unwrap(), 7, &mut data)
    };
    use Verdict::{Fails, Passes};
    for text in [
        "block_num == 7u && transaction_index == 0u && trx_action_count == 3 && executed && !scheduled",
        "block_time == '2000-01-01T00:00:00.0Z' && step == 'Unknown' && global_seq == 0u",
        "block_id.matches('^[0-9a-f]{64}$') && size(transaction_id) == 64",
        "auth == ['alice', 'alice@active']",
        // Three times alice, two times eosio and game each, bob.
        "top5_trx_actors == ['alice', 'game', 'eosio', 'bob']",
        "'left' in data.moves || 'left' in data.moves",
    ] {
        assert_eq!(holds(text), [Passes; 3], "{text}");
    }
    assert_eq!(holds("execution_index == 1u && notif && !input"), [Fails, Passes, Fails]);
    // Once for each action.
    assert_eq!(count, 3);
    // Without data a filter that includes holds, one that excludes does not.
    let mut none = || Ok(None);
    assert_eq!(verdicts(&Filter::new("data.x == 'y'", "", "").unwrap(), 7, &mut none), [Passes; 3]);
    assert_eq!(verdicts(&Filter::new("", "data.x == 'y'", "").unwrap(), 7, &mut none), [Passes; 3]);
    assert_eq!(verdicts(&Filter::new("", "!has(data.x)", "").unwrap(), 7, &mut none), [Passes; 3]);
    assert_eq!(verdicts(&Filter::new("false", "", "data.x == 'y'").unwrap(), 7, &mut none), [Fails; 3]);
    assert_eq!(
        verdicts(&Filter::new("", "data.x == 'y' || notif", "").unwrap(), 7, &mut none),
        [Passes, Fails, Passes]
    );
}

proptest! {
    #[test]
    fn any_text_is_a_program_or_an_error(text in prop_oneof![
        ".{0,60}",
        "([a-z]{1,3}|[0-9.u]{1,3}|auth|data|input|'x'|exists|has| |&&|\\|\\||==|in|[-+*/%!?:.,()<>\\[\\]]){0,20}",
    ]) {
        match Program::compile(&text) {
            Ok(program) => drop(Evaluation::new(&Transfer(OnceCell::new())).run(&program)),
            Err(error) => prop_assert!(error.offset <= text.len() && !error.message.is_empty()),
        }
    }
}
