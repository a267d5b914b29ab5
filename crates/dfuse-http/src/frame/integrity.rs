//! `X-Data-Integrity-Proof`: an answer that its reader can show to have come from here, to whoever knows the secret.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use futures::{StreamExt, stream};

use crate::Api;

const PROOF: HeaderName = HeaderName::from_static("x-data-integrity-proof");
/// Longer answers have no proof: it comes before them, so that they are held in memory until it is known.
const MAX_BYTES: usize = 16 << 20;

/// Routes whose good answers are proven to those who ask for it.
pub fn proven(routes: Router<Api>, api: &Api) -> Router<Api> {
    routes.route_layer(from_fn_with_state(api.clone(), prove))
}

/// Adds the proof to a good answer if the request asks for it and there is a secret.
async fn prove(State(api): State<Api>, request: Request, next: Next) -> Response {
    let secret = api.http_options().integrity_secret.clone().filter(|_| is_wanted(request.headers()));
    let response = next.run(request).await;
    let Some(secret) = secret.filter(|_| response.status().is_success()) else { return response };
    let (mut parts, body) = response.into_parts();
    let body = match whole(body).await {
        Ok(pieces) => {
            parts.headers.insert(PROOF, HeaderValue::from_str(&secret.proof(&pieces)).expect("hex digits"));
            Body::from(pieces.concat())
        }
        Err(body) => body,
    };
    Response::from_parts(parts, body)
}

fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(PROOF).is_some_and(|value| value == "true")
}

/// The whole body; one that is too long, or fails, as it was.
async fn whole(body: Body) -> Result<Vec<Bytes>, Body> {
    let mut rest = body.into_data_stream();
    let (mut pieces, mut length) = (Vec::new(), 0);
    while length <= MAX_BYTES {
        match rest.next().await {
            None => return Ok(pieces),
            Some(Ok(piece)) => {
                length += piece.len();
                pieces.push(piece);
            }
            Some(Err(error)) => {
                let pieces = pieces.into_iter().map(Ok).chain([Err(error)]);
                return Err(Body::from_stream(stream::iter(pieces)));
            }
        }
    }
    Err(Body::from_stream(stream::iter(pieces.into_iter().map(Ok)).chain(rest)))
}

#[cfg(test)]
mod tests {
    use crate::IntegritySecret;

    #[test]
    fn vector_of_dfuse() {
        let body = ["This is a random".into(), " GET payload".into()];
        let proof = IntegritySecret::new("supersecretsstuff").proof(&body);
        assert_eq!(proof, "fd212e1422606f966fd1373fc8071f70838b1fb043499b105ee24531d29baedf");
    }
}
