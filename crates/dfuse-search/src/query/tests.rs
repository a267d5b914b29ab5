use proptest::prelude::*;

use super::*;

/// `<x&&y>`, `[x||y]`, `!x`, as the reference writes what it reads.
fn tree(expr: &Expr) -> String {
    let joined = |operands: &[Expr], by: &str| operands.iter().map(tree).collect::<Vec<_>>().join(by);
    match expr {
        Expr::Match { field, values } if values.len() == 1 => format!("{field}:{}", Printed(&values[0])),
        Expr::Match { field, values } => {
            let values: Vec<_> = values.iter().map(|value| Printed(value).to_string()).collect();
            format!("{field}:{{{}}}", values.join(", "))
        }
        Expr::And(operands) => format!("<{}>", joined(operands, "&&")),
        Expr::Or(operands) => format!("[{}]", joined(operands, "||")),
        Expr::Not(operand) => format!("!{}", tree(operand)),
    }
}

#[test]
fn accepted() {
    for (text, expected) in [
        ("action:transfer", "action:transfer"),
        ("action : transfer", "action:transfer"),
        ("a: \"x\"", "a:x"),
        ("a :b", "a:b"),
        ("receiver:eosio.token data.to:bob", "<receiver:eosio.token&&data.to:bob>"),
        ("a:1 && b:2", "<a:1&&b:2>"),
        ("a:1 AND b:2", "<a:1&&b:2>"),
        ("a:1 &&b:2", "<a:1&&b:2>"),
        ("a:1 OR b:2", "[a:1||b:2]"),
        ("a:1 || b:2", "[a:1||b:2]"),
        ("a:1 ORb:2", "[a:1||b:2]"),
        ("a:1 b:2 OR c:3 d:4", "[<a:1&&b:2>||<c:3&&d:4>]"),
        ("a:1 OR b:2 c:3 OR d:4", "[a:1||<b:2&&c:3>||d:4]"),
        ("(auth:bob OR receiver:bob) -action:onblock", "<[auth:bob||receiver:bob]&&!action:onblock>"),
        ("a:1 (b:2 OR c:3) d:4", "<a:1&&[b:2||c:3]&&d:4>"),
        ("(a:1 OR\n b:2)", "[a:1||b:2]"),
        ("-(a:1 OR b:2)", "![a:1||b:2]"),
        ("--a:1", "a:1"),
        ("---a:1", "!a:1"),
        ("- a:1", "!a:1"),
        ("-a-b:c-d", "!a-b:c-d"),
        ("a:b-c", "a:b-c"),
        ("a:\"-5\"", "a:\"-5\""),
        ("a:b*", "a:b*"),
        ("a:\"b*\"", "a:\"b*\""),
        ("a:*", "a:*"),
        ("a:[b*,c]", "a:{b*, c}"),
        ("a:>5", "a:>5"),
        ("a:[b, c,'d e']", "a:{b, c, \"d e\"}"),
        ("a:[b,c,]", "a:{b, c}"),
        ("a:[]", "a:{}"),
        ("data.symbol:\"ORANGE\"", "data.symbol:\"ORANGE\""),
        ("data.symbol:XORANGE", "data.symbol:XORANGE"),
        ("a:\"b:c\"", "a:\"b:c\""),
        ("field:\"OR\"", "field:\"OR\""),
        ("a:\"x y\" b:'z'", "<a:\"x y\"&&b:z>"),
        ("a:true", "a:true"),
        ("a:\"true\"", "a:\"true\""),
        ("auth:bob@active", "auth:bob@active"),
        ("db.table:accounts/bob", "db.table:accounts/bob"),
        ("event.pet:dog", "event.pet:dog"),
        ("a&&b:1", "a&&b:1"),
        ("!a:1", "!a:1"),
        ("*:b", "*:b"),
        ("((a:1))", "a:1"),
        (" a:1 ", "a:1"),
    ] {
        assert_eq!(parser::parse(text).map(|(expr, _)| tree(&expr)), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn refused() {
    const TERM: &str = "expected a search term, minus sign or left parenthesis, got";
    const VALUE: &str = "expecting search value after colon, either a string, quoted string or strings list got";
    const IMPLICIT: &str = "missing expression after implicit 'and' clause:";
    const OR: &str = "missing expression after 'or' clause:";
    const AND: &str = "missing expression after 'and' clause:";
    const COLON: &str = "expecting colon after search field, got";
    let cases = [
        ("", format!("{TERM} end of input at column 0")),
        ("   ", format!("{TERM} end of input at column 3")),
        ("a", format!("{COLON} end of input at column 0")),
        ("a:", "expecting search value after field, got end of input at column 2".into()),
        ("a:-5", format!("{VALUE} NotOperator at column 2")),
        ("a:(b OR c)", format!("{VALUE} LeftParenthesis at column 2")),
        ("a:]", format!("{VALUE} RightSquareBracket at column 2")),
        ("a:&&", format!("{VALUE} AndOperator at column 2")),
        ("data.x:ANDY", format!("{VALUE} AndOperator at column 7")),
        ("data.symbol:ORANGE", format!("{VALUE} OrOperator at column 12")),
        ("a:[,b]", "expecting string value in list, either a string or quoted string got Comma at column 3".into()),
        ("a:[b c]", "expecting comma after string value item, got string at column 5".into()),
        ("a:[1 TO 5]", "expecting comma after string value item, got string at column 5".into()),
        (
            "a:[b",
            "expecting string value in list, got end of input, right square bracket ']' missing at column 4".into(),
        ),
        ("a:\"\"", "an empty string is not valid at column 2".into()),
        ("a:\"b", "expecting closing quoting char \"\\\"\", got end of input at column 2".into()),
        ("a:\"it's\"", format!("{IMPLICIT} {COLON} Quoting at column 7")),
        ("\"a\":b", format!("{TERM} Quoting at column 0")),
        ("a:b:c", format!("{IMPLICIT} {TERM} Colon at column 3")),
        ("a:1,b:2", format!("{IMPLICIT} {TERM} Comma at column 3")),
        ("a:1-b:2", format!("{IMPLICIT} {TERM} Colon at column 5")),
        ("a -b:1", format!("{COLON} NotOperator at column 2")),
        ("a:1 [b]", format!("{IMPLICIT} {TERM} LeftSquareBracket at column 4")),
        ("[ a:1", format!("{TERM} LeftSquareBracket at column 0")),
        ("a:1 and b:2", format!("{IMPLICIT} {COLON} Name at column 8")),
        ("a:1 or b:2", format!("{IMPLICIT} {COLON} Name at column 7")),
        ("NOT a:1", format!("{COLON} Name at column 4")),
        ("a:1||b:2", format!("{IMPLICIT} {TERM} Colon at column 6")),
        ("a:1 OR", format!("{OR} {TERM} end of input at column 6")),
        ("a:1 AND", format!("{AND} {TERM} end of input at column 7")),
        ("a:1 OR OR b:2", format!("{OR} {TERM} OrOperator at column 7")),
        ("OR a:1", format!("{TERM} OrOperator at column 0")),
        ("ORacle:1", format!("{TERM} OrOperator at column 0")),
        (
            "a:1 )",
            "unexpected right parenthesis, expected right hand side expression or end of input at column 4".into(),
        ),
        ("(a:1", "expecting closing parenthesis, got end of input at column 0".into()),
        ("((a:1)", "expecting closing parenthesis, got end of input at column 0".into()),
        ("()", format!("invalid expression after opening parenthesis: {TERM} RightParenthesis at column 1")),
        ("a:1 - ", format!("{IMPLICIT} invalid expression after minus sign: {TERM} end of input at column 6")),
        ("a:1\nOR\n", format!("{OR} {TERM} end of input at line 3 column 1")),
        ("a:é b", format!("{IMPLICIT} {COLON} end of input at column 5")),
        ("a:1\né:2 b", format!("{IMPLICIT} {COLON} end of input at line 2 column 5")),
    ];
    for (text, expected) in cases {
        assert_eq!(parser::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn long_and_deep_queries_have_bounds() {
    let ors = |count: usize| vec!["a:1"; count].join(" ||");
    assert!(Query::parse_syntax(&ors(2501)).is_ok());
    let error = Query::parse_syntax(&ors(2502)).unwrap_err();
    assert!(error.message.ends_with("expression is too long, too much ORs or parenthesis expressions"), "{error}");
    let nested = |depth: usize| format!("{}a:1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Query::parse_syntax(&nested(parser::MAX_NESTING - 1)).is_ok());
    assert!(Query::parse_syntax(&nested(parser::MAX_NESTING)).is_err());
    assert!(Query::parse_syntax(&"(".repeat(MAX_QUERY_BYTES)).is_err());
    assert!(Query::parse_syntax(&format!("{}a:1", "-".repeat(10_000))).is_ok());
    let error = Query::parse_syntax(&format!("a:{}", "é".repeat(MAX_QUERY_BYTES))).unwrap_err();
    assert!(error.message.starts_with("query is too long: 32770 bytes"), "{error}");
}

#[test]
fn canonical_texts() {
    for (text, expected) in [
        ("b:2 a:1", "a:1 b:2"),
        ("a:1 (b:2 (c:3 d:4))", "a:1 b:2 c:3 d:4"),
        ("(b:1 OR a:1) OR c:1 OR a:1", "a:1 OR b:1 OR c:1"),
        ("c:1 (b:1 OR a:1)", "(a:1 OR b:1) c:1"),
        ("-(b:1 a:1)", "-(a:1 b:1)"),
        ("-(-(a:1))", "a:1"),
        ("a:[c,b,c]", "a:[b,c]"),
        ("a:[b]", "a:b"),
        ("a:'x' a:x", "a:x"),
        ("a:'x*' a:x*", "a:\"x*\" a:x*"),
    ] {
        assert_eq!(Query::parse_syntax(text).unwrap().canonical(), expected, "{text}");
    }
}

#[test]
fn fields_are_checked() {
    let options = TermOptions::default();
    let parse = |text: &str| Query::parse(text, &options).map(|_| ()).map_err(|error| error.to_string());
    for text in [
        "status:executed",
        "data.from.something:v",
        "event.field2.nested:v",
        "data.memo:x",
        "data.nested.deep:v",
        "block_num:5",
        "block_num:5-9",
        "block_num:5-",
        "block_num:[5,7-8]",
        "trx_idx:0",
        "ram.consumed:bob db.key:a/b/c db.table:a notif:true input:*",
    ] {
        assert_eq!(parse(text), Ok(()), "{text}");
    }
    let refused = |names: &str| {
        let message = "The following fields you are trying to search are not currently indexed";
        Err(format!("{message}: {names}. Contact our support team for more."))
    };
    for (text, names) in [
        ("data.:v", "'data.'"),
        ("data:x", "'data'"),
        ("ram:x", "'ram'"),
        ("unknow:x -data:y unknow:z", "'data', 'unknow'"),
        ("a&&b:1", "'a&&b'"),
        ("act_digest:0011223344556677", "'act_digest'"),
    ] {
        assert_eq!(parse(text), refused(names), "{text}");
    }
    let some = TermOptions { data_fields: Some(["from".to_owned()].into()), ..TermOptions::default() };
    assert!(Query::parse("data.from.x:v", &some).is_ok());
    assert!(matches!(Query::parse("data.to:v", &some), Err(Error::UnknownFields(_))));
    let long = format!("auth:{}*", "x".repeat(33));
    assert!(parse(&long).unwrap_err().starts_with("invalid query: the beginning of a value has at most 32 bytes"));
    for text in ["block_num:x", "block_num:9-5", "block_num:*", "trx_idx:x-", "input:t*"] {
        assert!(parse(text).unwrap_err().starts_with("invalid query: field"), "{text}");
    }
    for (text, place) in [
        ("action:a block_num:x", "at column 19 ("),
        ("-(--trx_idx: [1, x] OR input:t*)", "at column 13 ("),
        ("action:a\nOR auth:-x", "at line 2 column 9 ("),
        ("action:a\nOR block_num:'-x'", "at line 2 column 14 ("),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(place), "{error}");
    }
    let error = parse("a:1 OR").unwrap_err();
    assert!(
        error.starts_with("invalid query: missing expression") && error.ends_with("(query: \"a:1 OR\")"),
        "{error}"
    );
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,2}:[a-z*1-9-]{1,3}",
        Just(" ".to_owned()),
        Just(" ".to_owned()),
        Just(" OR ".to_owned()),
        Just("AND ".to_owned()),
        Just("-".to_owned()),
        Just("(".to_owned()),
        Just(")".to_owned()),
        "a:\\[[a-c, *]{0,5}\\]",
        "a:\"[^'\"]{1,3}\"",
        ".",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn expr() -> impl Strategy<Value = Expr> {
    let value = prop_oneof![
        "[^'\"]{1,3}".prop_map(|text| Value::Text(text.into())),
        "(true|false|OR|AND|x\\*|-1)".prop_map(|text| Value::Text(text.into())),
        "[a-z]{0,2}".prop_map(|text| Value::Prefix(text.into())),
        any::<bool>().prop_map(Value::Bool),
    ];
    let leaf = ("[a-c.]{1,2}", prop::collection::vec(value, 0..4));
    let leaf = leaf.prop_map(|(field, values)| Expr::Match { field: field.into(), values });
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in text()) {
        match parser::parse(&text) {
            Ok((expr, _)) => {
                let canonical = expr.canonical();
                let printed = Printed(&canonical).to_string();
                prop_assert_eq!(parser::parse(&printed).unwrap().0.canonical(), canonical);
            }
            Err(error) => prop_assert!(error.offset <= text.len() && !error.message.is_empty()),
        }
    }

    #[test]
    fn canonical_text_is_read_as_the_same(expr in expr()) {
        let canonical = expr.canonical();
        let printed = Printed(&canonical).to_string();
        let (again, _) = parser::parse(&printed).unwrap();
        prop_assert_eq!(&again.clone().canonical(), &canonical, "{}", printed);
        prop_assert_eq!(Printed(&again.canonical()).to_string(), printed);
    }
}
