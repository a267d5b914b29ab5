use dfuse_api::check_stream_message;
use dfuse_query::ErrorCode;

/// A message of a WebSocket client: it is a request, or refused with a reason.
pub fn stream_message(data: &[u8]) {
    // What is no UTF-8 is refused by the connection.
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = check_stream_message(text) {
        let key = match error.code() {
            ErrorCode::WsInvalidJsonMessage
            | ErrorCode::WsInvalidJsonMessageData
            | ErrorCode::WsMessageDataValidation => "reason",
            ErrorCode::WsUnknownMessage => "type",
            code => panic!("{code:?} for {text}"),
        };
        assert!(error.details()[key].is_string());
        assert!(!error.message().is_empty());
    }
}
