//! The last requests that failed or took long, for operators.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dfuse_query::TraceId;

/// Most requests that are kept of each kind.
const KEPT: usize = 20;
/// How often refused requests are told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Who takes longer is slow.
const SLOW: Duration = Duration::from_millis(500);

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Its method.
    pub method: &'static str,
    /// Path and query, cut and without secrets.
    pub target: String,
    /// 0 if the client left before.
    pub status: u16,
    /// The code of its error.
    pub code: Option<&'static str>,
    /// Under which the log has it.
    pub trace_id: TraceId,
    /// How long it took.
    pub taken: Duration,
}

/// The errors of one code since the start.
#[derive(Debug, Clone)]
pub struct FailedSoFar {
    /// The code.
    pub code: &'static str,
    /// How many requests were answered with it.
    pub count: u64,
    /// The last one.
    pub last: Answered,
}

/// The last requests that failed or took long.
#[derive(Debug, Default)]
pub struct Recent {
    /// By code, of which there are as many as the table of errors has.
    codes: Mutex<BTreeMap<&'static str, FailedSoFar>>,
    /// Requests that were refused since that was told last, by code.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    failed: Mutex<VecDeque<Answered>>,
    slow: Mutex<VecDeque<Answered>>,
}

impl Recent {
    /// Keeps the request if it is worth a look. What connections for streams take is no sign of anything.
    pub(crate) fn note(&self, answered: impl FnOnce() -> Answered, status: u16, taken: Duration) {
        let (has_failed, is_slow) = (status >= 400, taken >= SLOW);
        if !has_failed && !is_slow {
            return;
        }
        let answered = answered();
        if has_failed {
            keep(&self.failed, answered.clone());
            self.count(&answered);
        }
        if is_slow {
            keep(&self.slow, answered);
        }
    }

    fn count(&self, answered: &Answered) {
        let Some(code) = answered.code else { return };
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let of_code = codes.entry(code).or_insert_with(|| FailedSoFar { code, count: 0, last: answered.clone() });
        of_code.count += 1;
        of_code.last = answered.clone();
    }

    /// Counts a request that clients should not have sent so.
    pub(crate) fn refuse(&self, code: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// Logs once a minute how many requests were refused, and why, if any were: lines of their own would be as many as clients like.
    /// Does not end.
    pub async fn tell_refused(&self) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            if let Some((requests, codes)) = self.take_refused() {
                tracing::info!(
                    requests,
                    codes,
                    "requests were refused; the level debug of dfuse_api::request has a line for each"
                );
            }
        }
    }

    /// How many there were since this was asked last, if any, and their codes with counts, the most frequent first.
    fn take_refused(&self) -> Option<(u64, String)> {
        let refused = std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner));
        let requests = refused.values().sum();
        let mut codes: Vec<_> = refused.into_iter().collect();
        codes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let codes: Vec<_> = codes.into_iter().map(|(code, count)| format!("{code}: {count}")).collect();
        (requests > 0).then(|| (requests, codes.join(", ")))
    }

    /// Errors by code, that of the last one first.
    pub fn by_code(&self) -> Vec<FailedSoFar> {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = codes.values().cloned().collect();
        all.sort_by_key(|of_code| std::cmp::Reverse(of_code.last.unix_ms));
        all
    }

    /// Those that failed, the newest first.
    pub fn failed(&self) -> Vec<Answered> {
        newest_first(&self.failed)
    }

    /// Those that took long, the newest first.
    pub fn slow(&self) -> Vec<Answered> {
        newest_first(&self.slow)
    }
}

fn keep(list: &Mutex<VecDeque<Answered>>, answered: Answered) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    list.push_front(answered);
    list.truncate(KEPT);
}

fn newest_first(list: &Mutex<VecDeque<Answered>>) -> Vec<Answered> {
    list.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_requests_are_counted_by_code() {
        let recent = Recent::default();
        assert_eq!(recent.take_refused(), None);
        for code in ["a_error", "b_error", "b_error"] {
            recent.refuse(code);
        }
        assert_eq!(recent.take_refused(), Some((3, "b_error: 2, a_error: 1".to_owned())));
        assert_eq!(recent.take_refused(), None, "told once");
    }
}
