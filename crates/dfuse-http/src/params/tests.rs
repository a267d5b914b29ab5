use dfuse_antelope::{Name, PublicKey, Symbol, SymbolCode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{rules::*, *};

/// The problems of one parameter with that text.
fn problems<T>(text: &str, rule: impl Fn(&Field<'_>) -> Result<T, Problems>) -> Vec<String> {
    rule(&Field { name: "field", text }).err().unwrap_or_default()
}

fn value<T>(text: &str, rule: impl Fn(&Field<'_>) -> Result<T, Problems>) -> Option<T> {
    rule(&Field { name: "field", text }).ok()
}

fn errors<T>(result: ApiResult<T>) -> Value {
    let error = result.err().expect("an error");
    assert_eq!(error.code(), ErrorCode::RequestValidation);
    error.details()["errors"].clone()
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut params = Params::from_query("acount=eosio&scope=EOS IO&json=maybe&limit=x&other=%zz");
    let account = params.required("account", name);
    let scope = params.required("scope", name);
    let json = params.optional_or("json", false, boolean);
    let limit = params.required("limit", between(1..=100));
    let other = params.optional("other", text);
    let unseen = params.optional("unseen", block_num);
    let found =
        errors(params.finish((account, scope, json, limit, other, unseen)).map(|values: (_, _, _, u8, _, _)| values));
    assert_eq!(
        found,
        json!({
            "account": ["is required; did you mean it by \"acount\"?"],
            "scope": ["must be a valid EOS name of up to 13 characters, not \"EOS IO\": characters are a-z, 1-5 and dots"],
            "json": ["must be a boolean: true, false, 1 or 0, not \"maybe\""],
            "limit": ["must be numeric: a whole number, not \"x\"", "must be between 1 and 100"],
            "other": ["must be percent-encoded: two hex digits follow each %"],
        })
    );
}

#[test]
fn right_values_come_trimmed_and_unknown_ones_are_ignored() {
    let mut params = Params::from_query("account=+eosio%20&token=%zz&%zz=1&account=second&flag&json=True");
    let account = params.required("account", name);
    let json = params.optional_or("json", false, boolean);
    let flag = params.optional("flag", text);
    let absent = params.optional("absent", name);
    let default = params.optional_or("limit", 7, integer);
    let values = params.finish((account, json, (flag, absent), default)).unwrap();
    assert_eq!(values, (Name::literal("eosio"), true, (Some(String::new()), None), 7));
}

#[test]
fn raw_separators_are_tolerated() {
    let mut params = Params::from_query("accounts=eosio|eosio.token||&symbols=4,EOS|EOS&scope=a=b");
    let accounts = params.required("accounts", list(name));
    let symbols = params.required("symbols", list(extended_name));
    let scope = params.required("scope", text);
    let (accounts, symbols, scope) = params.finish((accounts, symbols, scope)).unwrap();
    assert_eq!(accounts, [Name::literal("eosio"), Name::literal("eosio.token")]);
    let (symbol, code): (Symbol, SymbolCode) = ("4,EOS".parse().unwrap(), "EOS".parse().unwrap());
    assert_eq!(symbols, [Name(symbol.0), Name(code.0)]);
    assert_eq!(scope, "a=b");
}

#[test]
fn how_many_problems_each_value_has() {
    // What is optional is checked when it is there, also if it is empty.
    for text in ["", " ", "yes", "TRUE", "t"] {
        assert_eq!(problems(text, boolean).len(), 1, "{text}");
    }
    for (text, expected) in
        [("1", true), ("true", true), ("True", true), ("0", false), ("false", false), ("False", false)]
    {
        assert_eq!(value(text, boolean), Some(expected));
    }
    for (text, count) in [("0", 1), ("101", 1), ("a", 2), ("", 1), ("-1", 1), ("+5", 2), ("1", 0), ("100", 0)] {
        assert_eq!(problems(text, between(1..=100u8)).len(), count, "{text}");
    }
    for (text, count) in
        [("0", 1), ("a", 2), ("-1", 1), ("1", 0), ("2147483647", 0), ("99999999999", 0), (&"9".repeat(30), 0)]
    {
        assert_eq!(problems(text, at_least(1)).len(), count, "{text}");
    }
    // Huge numbers say "all" and "the newest".
    for text in ["4294967296", "99999999999", "9007199254740993", "18446744073709551616", &"9".repeat(30)] {
        assert_eq!((value(text, at_least(1)), value(text, highest_block)), (Some(u32::MAX), Some(u32::MAX)), "{text}");
    }
    let (nines, many) = ("9".repeat(30), "9".repeat(60));
    for (text, number, cut) in [
        ("4294967296", 1 << 32, 1 << 32),
        (&nines, 999_999_999_999_999_999_999_999_999_999, u64::MAX),
        (&many, u128::MAX, u64::MAX),
        ("007", 7, 7),
    ] {
        assert_eq!((value(text, block_num), value(text, count)), (Some(number), Some(cut)), "{text}");
    }
    for (text, count) in [("", 1), ("-1", 1), ("a", 1), ("1e20", 1), ("+1", 1), ("0", 0), ("4294967296", 0)] {
        assert_eq!(problems(text, block_num).len(), count, "{text}");
        assert_eq!(problems(text, highest_block).len(), count, "{text}");
    }
    for (text, count) in
        [("", 0), ("eosio", 0), ("zzzzzzzzzzzzj", 0), ("zzzzzzzzzzzzk", 1), ("EOS", 1), ("toolongtoolong", 1)]
    {
        assert_eq!(problems(text, name).len(), count, "{text}");
    }
    for (text, count) in [("EOS", 0), ("4,EOS", 0), ("eosio", 0), ("4,eos", 1), ("EOSEOSEOS", 1)] {
        assert_eq!(problems(text, extended_name).len(), count, "{text}");
    }
    for (text, count) in [("auth", 1), ("", 1), ("abcde", 0)] {
        assert_eq!(problems(text, text_of_at_least(5)).len(), count, "{text}");
    }
    for (text, count) in [("", 1), ("ab", 1), ("xy", 2), (&"x".repeat(64), 1), (&"A0".repeat(32), 0)] {
        assert_eq!(problems(text, id).len(), count, "{text}");
    }
    for (text, count) in [("", 1), ("a", 1), ("0xab", 1), ("zz", 1), ("aB01", 0)] {
        assert_eq!(problems(text, hex).len(), count, "{text}");
    }
    for (text, descending) in [("dESc", Some(true)), ("asc", Some(false)), ("", None), ("bla", None)] {
        assert_eq!(value(text, sort_is_descending), descending, "{text}");
    }
}

#[test]
fn required_values_break_further_rules_when_they_are_absent() {
    for (query, count) in [("", 2), ("limit=", 2), ("limit=+", 2), ("limit=0", 1), ("limit=a", 2)] {
        let mut params = Params::from_query(query);
        let limit = params.required("limit", between(1..=100u8));
        assert_eq!(errors(params.finish(limit))["limit"].as_array().unwrap().len(), count, "{query}");
    }
    let mut params = Params::default();
    let list = params.required("accounts", list(name));
    assert_eq!(errors(params.finish(list)), json!({"accounts": ["is required", "must have at least 1 element"]}));
}

#[test]
fn lists_name_their_first_bad_element() {
    let too_many = vec!["a"; 1501].join("|");
    for (text, problem) in [
        ("||", "must have at least 1 element"),
        (&*too_many, "must have at most 1500 elements"),
        (
            "a|B|C",
            "field[1] must be a valid EOS name of up to 13 characters, not \"B\": characters are a-z, 1-5 and dots",
        ),
    ] {
        assert_eq!(problems(text, list(name)), [problem]);
    }
    assert_eq!(value(&too_many[2..], list(name)).unwrap().len(), 1500);
}

#[test]
fn nearest_values_are_suggested() {
    let comparators = [("gt", 1), ("gte", 2), ("eq", 3)];
    assert_eq!(
        problems("GTE", one_of(&comparators)),
        ["must be one of gt, gte, eq, not \"GTE\"; did you mean \"gte\"?"]
    );
    assert_eq!(problems("xyz", one_of(&comparators)), ["must be one of gt, gte, eq, not \"xyz\""]);
    assert_eq!(value("eq", one_of(&comparators)), Some(3));
}

#[test]
fn public_keys_in_all_forms_are_one() {
    let forms = [
        "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
        "PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63",
    ];
    let keys = forms.map(|form| value(form, public_key).unwrap());
    assert_eq!(keys[0], keys[1]);
    assert!(matches!(keys[0], PublicKey::K1(_)));
    assert_eq!(problems("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CX", public_key).len(), 1);
}

#[test]
fn what_is_shown_is_short() {
    let long = "x".repeat(100_000);
    for problem in problems(&long, id) {
        assert!(problem.len() < 150);
    }
}

#[test]
fn parameters_are_bounded() {
    let query: String = (0..=MAX_PARAMETERS).map(|i| format!("p{i}=1&")).collect();
    let params = Params::from_query(&query);
    assert_eq!(errors(params.finish(())), json!({"parameters": ["must be at most 1000"]}));
}

proptest! {
    #[test]
    fn any_query_is_read(query in ".{0,200}") {
        let mut params = Params::from_query(&query);
        let value = params.optional("a", list(extended_name));
        let _ = params.finish(value);
    }

    #[test]
    fn what_is_encoded_comes_back(value in "[^\\s].{0,20}[^\\s]") {
        let query = format!("a={}", percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC));
        let mut params = Params::from_query(&query);
        let read = params.required("a", text);
        prop_assert_eq!(params.finish(read).unwrap(), value.trim());
    }
}
