use std::{fmt, path::PathBuf, str::FromStr};

use crate::Error;

/// Where nodes serve state history, the first preferred: `HOST:PORT` or `unix:PATH`, several with commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses(Vec<Address>);

/// Where one node does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

impl Addresses {
    pub(super) fn all(&self) -> &[Address] {
        &self.0
    }
}

impl FromStr for Addresses {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            Error::Spec(format!("ship:{shown}"))
        };
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some((host, port)) if !host.is_empty() => {
                let port = port.rsplit(':').next().unwrap_or(port);
                port.parse::<u16>().map_err(|_| wrong())?;
                Ok(Self::Tcp(text.to_owned()))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
