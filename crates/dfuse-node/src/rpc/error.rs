use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a call of a node has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RpcError {
    /// The address of the node is none.
    #[error("\"{url}\" is no address of a node: {reason}; write it as http://127.0.0.1:8888")]
    Url {
        /// What came.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// As many requests as may be are at work, and none ended in time: the node has not got this one, and is not to blame.
    #[error("too many requests are at work, the one for the node at {node} waited in vain")]
    Busy {
        /// Its address.
        node: String,
    },
    /// There is no connection: the node has not got the request.
    #[error("cannot reach the node at {node}: {reason}")]
    Connect {
        /// Its address.
        node: String,
        /// What happened.
        reason: String,
    },
    /// The connection ended before the answer did: the node may have got the request.
    #[error("the node at {node} broke off: {reason}")]
    Broken {
        /// Its address.
        node: String,
        /// What happened.
        reason: String,
    },
    /// The answer did not come in time: the node may have got the request.
    #[error("the node at {node} did not answer {path} within {time:?}")]
    Timeout {
        /// Its address.
        node: String,
        /// What was asked.
        path: String,
        /// How long it had.
        time: Duration,
    },
    /// The node says why it does not do it.
    #[error("the node at {node} refuses {path}: {error}")]
    Refused {
        /// Its address.
        node: String,
        /// What was asked.
        path: String,
        /// What it says.
        error: Box<NodeError>,
    },
    /// The answer is not what a node answers: something else is at this address, or between.
    #[error("{node} answered {path} with status {status}, but not as a node does: {reason}")]
    Answer {
        /// Its address.
        node: String,
        /// What was asked.
        path: String,
        /// HTTP status.
        status: u16,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl RpcError {
    /// What the node says, if it is the node that refuses.
    pub fn refusal(&self) -> Option<&NodeError> {
        match self {
            Self::Refused { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// `error_results` of nodeos: the body of its error responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeError {
    /// HTTP status.
    pub code: u16,
    /// A phrase of a few words.
    pub message: String,
    /// What happened.
    pub error: NodeErrorBody,
}

/// `error_info` of nodeos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeErrorBody {
    /// Number of the exception, as `exceptions.hpp` of nodeos has it: programs branch on it.
    pub code: i64,
    /// Name of the exception.
    #[serde(default)]
    pub name: String,
    /// What exceptions of this name are about.
    #[serde(default)]
    pub what: String,
    /// What happened in this case; more than one with `verbose-http-errors`.
    #[serde(default)]
    pub details: Vec<NodeDetail>,
}

/// `error_info::error_detail` of nodeos.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDetail {
    /// In words.
    #[serde(default)]
    pub message: String,
    /// Source file of nodeos.
    #[serde(default)]
    pub file: String,
    /// Line in it.
    #[serde(default)]
    pub line_number: u64,
    /// Function in it.
    #[serde(default)]
    pub method: String,
}

impl NodeError {
    /// Reads the body of an error response; none if it has another form.
    pub fn from_json(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The transaction was over a limit of time or resources, so that the same may succeed later: the family 3080000, without
    /// 3080001, for lack of RAM does not go away.
    pub fn is_retryable(&self) -> bool {
        (3_080_000..3_090_000).contains(&self.error.code) && self.error.code != 3_080_001
    }

    /// The node has this transaction already, or one with the same bytes (`tx_duplicate`, `expired` counts apart).
    pub fn is_duplicate(&self) -> bool {
        [3_040_008, 3_040_009].contains(&self.error.code)
    }

    /// The transaction has expired (`expired_tx_exception`).
    pub fn is_expired(&self) -> bool {
        self.error.code == 3_040_005
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NodeErrorBody { code, name, what, details } = &self.error;
        write!(f, "{what} ({name}, {code})")?;
        for detail in details.iter().filter(|detail| !detail.message.is_empty()).take(3) {
            write!(f, ": {}", detail.message)?;
        }
        Ok(())
    }
}
