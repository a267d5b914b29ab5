use dfuse_blocks::CursorKey;
use dfuse_search::{Filter, MAX_QUERY_BYTES, Position, Query, TermOptions};

/// A query: its canonical text is read as the same query. The same bytes as a cursor are an error.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(Position::open(text, &CursorKey::new([7; 32])).is_err());
    match Query::parse_syntax(text) {
        Ok(query) if query.canonical().len() <= MAX_QUERY_BYTES => {
            let again = Query::parse_syntax(query.canonical()).expect("a canonical text is a query");
            assert_eq!(again.canonical(), query.canonical());
            let checked = Query::parse(text, &TermOptions::default()).map_err(|error| error.to_string());
            assert!(checked.is_ok() || checked.is_err_and(|message| !message.is_empty()));
        }
        Ok(_) => {}
        Err(error) => assert!(error.offset <= text.len() && !error.to_string().is_empty()),
    }
}

/// The programs of a filter, for each of its three settings: one that is read is equal to itself, an error is within.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for read in [|text| Filter::new(text, "", ""), |text| Filter::new("", text, ""), |text| Filter::new("", "", text)] {
        match read(text) {
            Ok(filter) => assert!(read(text) == Ok(filter)),
            Err(error) => assert!(error.error.offset <= error.program.len() && !error.to_string().is_empty()),
        }
    }
}
