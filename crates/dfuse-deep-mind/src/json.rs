//! The JSON objects on some lines, read straight into the block model.
//!
//! 64-bit numbers above 2^32 come as strings, others as numbers; both are read everywhere.

use std::{fmt, marker::PhantomData};

use dfuse_antelope::{
    Checksum256, Name, TimePoint,
    model::{
        Authority, ElasticLimitParameters, Feature, KeyWeight, PermissionLevel, PermissionLevelWeight,
        PermissionObject, Ratio, RlimitAccountLimits, RlimitAccountUsage, RlimitConfig, RlimitState, Specification,
        SubjectiveRestrictions, UsageAccumulator, WaitWeight,
    },
};
use serde::{Deserialize, Deserializer, de};

use crate::error::{Parse, Why};

/// Reads one JSON value; what is not UTF-8 is replaced first.
pub(crate) fn parse<T: de::DeserializeOwned>(json: &[u8]) -> Parse<T> {
    let error = match serde_json::from_slice(json) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if std::str::from_utf8(json).is_err()
        && let Ok(value) = serde_json::from_str(&String::from_utf8_lossy(json))
    {
        return Ok(value);
    }
    Err(Why::new(format!("bad JSON: {error}")))
}

/// A number, or a number in a string.
fn number<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<T, D::Error> {
    struct Visitor<T>(PhantomData<T>);

    impl<T: TryFrom<i128>> de::Visitor<'_> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a number for {}", std::any::type_name::<T>())
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
            T::try_from(value.into()).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
            T::try_from(value.into()).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            let value = text.parse::<i128>().ok().and_then(|value| T::try_from(value).ok());
            value.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_any(Visitor(PhantomData))
}

/// A time as text, with or without fraction.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimePoint, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// A JSON number of 32 or 64 bits in either form.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: TryFrom<i128>"), transparent)]
struct Number<T>(#[serde(deserialize_with = "number")] T);

/// `UPD` lines hold both states.
#[derive(Deserialize)]
pub(crate) struct Update<T> {
    pub(crate) old: T,
    pub(crate) new: T,
}

#[derive(Deserialize)]
pub(crate) struct PermissionJson {
    parent: Number<u64>,
    owner: Name,
    name: Name,
    #[serde(deserialize_with = "time")]
    last_updated: TimePoint,
    auth: AuthorityJson,
}

#[derive(Deserialize)]
struct AuthorityJson {
    threshold: Number<u32>,
    keys: Vec<KeyJson>,
    accounts: Vec<AccountJson>,
    waits: Vec<WaitJson>,
}

#[derive(Deserialize)]
struct KeyJson {
    key: String,
    weight: Number<u32>,
}

#[derive(Deserialize)]
struct AccountJson {
    permission: LevelJson,
    weight: Number<u32>,
}

#[derive(Deserialize)]
struct LevelJson {
    actor: Name,
    permission: Name,
}

#[derive(Deserialize)]
struct WaitJson {
    wait_sec: Number<u32>,
    weight: Number<u32>,
}

impl PermissionJson {
    /// `id` is the permission's number in the node's database, which stands outside of the JSON.
    pub(crate) fn into_model(self, id: u64) -> PermissionObject {
        PermissionObject {
            owner: self.owner,
            name: self.name,
            last_updated: self.last_updated,
            authority: Authority {
                threshold: self.auth.threshold.0,
                keys: self.auth.keys.into_iter().map(|k| KeyWeight { public_key: k.key, weight: k.weight.0 }).collect(),
                accounts: self
                    .auth
                    .accounts
                    .into_iter()
                    .map(|a| PermissionLevelWeight {
                        permission: PermissionLevel { actor: a.permission.actor, permission: a.permission.permission },
                        weight: a.weight.0,
                    })
                    .collect(),
                waits: self
                    .auth
                    .waits
                    .into_iter()
                    .map(|w| WaitWeight { wait_sec: w.wait_sec.0, weight: w.weight.0 })
                    .collect(),
            },
            id,
            parent_id: self.parent.0,
            parent: Name::default(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct FeatureJson {
    feature_digest: Checksum256,
    subjective_restrictions: RestrictionsJson,
    description_digest: Checksum256,
    dependencies: Vec<Checksum256>,
    protocol_feature_type: String,
    specification: Vec<SpecificationJson>,
}

#[derive(Deserialize)]
struct RestrictionsJson {
    enabled: bool,
    preactivation_required: bool,
    earliest_allowed_activation_time: String,
}

#[derive(Deserialize)]
struct SpecificationJson {
    name: String,
    value: String,
}

impl From<FeatureJson> for Feature {
    fn from(json: FeatureJson) -> Self {
        Self {
            feature_digest: json.feature_digest,
            subjective_restrictions: SubjectiveRestrictions {
                enabled: json.subjective_restrictions.enabled,
                preactivation_required: json.subjective_restrictions.preactivation_required,
                earliest_allowed_activation_time: json.subjective_restrictions.earliest_allowed_activation_time,
            },
            description_digest: json.description_digest,
            dependencies: json.dependencies,
            protocol_feature_type: json.protocol_feature_type,
            specification: json
                .specification
                .into_iter()
                .map(|s| Specification { name: s.name, value: s.value })
                .collect(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct UsageJson {
    last_ordinal: Number<u32>,
    value_ex: Number<u64>,
    consumed: Number<u64>,
}

impl From<UsageJson> for UsageAccumulator {
    fn from(json: UsageJson) -> Self {
        Self { last_ordinal: json.last_ordinal.0, value_ex: json.value_ex.0, consumed: json.consumed.0 }
    }
}

#[derive(Deserialize)]
pub(crate) struct AccountUsageJson {
    owner: Name,
    net_usage: UsageJson,
    cpu_usage: UsageJson,
    ram_usage: Number<u64>,
}

impl From<AccountUsageJson> for RlimitAccountUsage {
    fn from(json: AccountUsageJson) -> Self {
        Self {
            owner: json.owner,
            net_usage: json.net_usage.into(),
            cpu_usage: json.cpu_usage.into(),
            ram_usage: json.ram_usage.0,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct AccountLimitsJson {
    owner: Name,
    net_weight: Number<i64>,
    cpu_weight: Number<i64>,
    ram_bytes: Number<i64>,
}

impl From<AccountLimitsJson> for RlimitAccountLimits {
    fn from(json: AccountLimitsJson) -> Self {
        Self {
            owner: json.owner,
            pending: false,
            net_weight: json.net_weight.0,
            cpu_weight: json.cpu_weight.0,
            ram_bytes: json.ram_bytes.0,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct StateJson {
    average_block_net_usage: UsageJson,
    average_block_cpu_usage: UsageJson,
    pending_net_usage: Number<u64>,
    pending_cpu_usage: Number<u64>,
    total_net_weight: Number<u64>,
    total_cpu_weight: Number<u64>,
    total_ram_bytes: Number<u64>,
    virtual_net_limit: Number<u64>,
    virtual_cpu_limit: Number<u64>,
}

impl From<StateJson> for RlimitState {
    fn from(json: StateJson) -> Self {
        Self {
            average_block_net_usage: json.average_block_net_usage.into(),
            average_block_cpu_usage: json.average_block_cpu_usage.into(),
            pending_net_usage: json.pending_net_usage.0,
            pending_cpu_usage: json.pending_cpu_usage.0,
            total_net_weight: json.total_net_weight.0,
            total_cpu_weight: json.total_cpu_weight.0,
            total_ram_bytes: json.total_ram_bytes.0,
            virtual_net_limit: json.virtual_net_limit.0,
            virtual_cpu_limit: json.virtual_cpu_limit.0,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct ConfigJson {
    cpu_limit_parameters: ElasticJson,
    net_limit_parameters: ElasticJson,
    account_cpu_usage_average_window: Number<u32>,
    account_net_usage_average_window: Number<u32>,
}

impl From<ConfigJson> for RlimitConfig {
    fn from(json: ConfigJson) -> Self {
        Self {
            cpu_limit_parameters: json.cpu_limit_parameters.into(),
            net_limit_parameters: json.net_limit_parameters.into(),
            account_cpu_usage_average_window: json.account_cpu_usage_average_window.0,
            account_net_usage_average_window: json.account_net_usage_average_window.0,
        }
    }
}

#[derive(Deserialize)]
struct ElasticJson {
    target: Number<u64>,
    max: Number<u64>,
    periods: Number<u32>,
    max_multiplier: Number<u32>,
    contract_rate: RatioJson,
    expand_rate: RatioJson,
}

impl From<ElasticJson> for ElasticLimitParameters {
    fn from(json: ElasticJson) -> Self {
        Self {
            target: json.target.0,
            max: json.max.0,
            periods: json.periods.0,
            max_multiplier: json.max_multiplier.0,
            contract_rate: json.contract_rate.into(),
            expand_rate: json.expand_rate.into(),
        }
    }
}

#[derive(Deserialize)]
struct RatioJson {
    numerator: Number<u64>,
    denominator: Number<u64>,
}

impl From<RatioJson> for Ratio {
    fn from(json: RatioJson) -> Self {
        Self { numerator: json.numerator.0, denominator: json.denominator.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_plain_or_quoted() {
        let read = |json: &str| parse::<UsageJson>(json.as_bytes()).map(UsageAccumulator::from).map_err(|why| why.0);
        let wanted = UsageAccumulator { last_ordinal: 1, value_ex: 9_999_999_999, consumed: 3 };
        assert_eq!(read(r#"{"last_ordinal":1,"value_ex":"9999999999","consumed":3}"#), Ok(wanted.clone()));
        assert_eq!(read(r#"{"last_ordinal":"1","value_ex":9999999999,"consumed":3,"new":[]}"#), Ok(wanted));
        for wrong in [
            r#"{"last_ordinal":-1,"value_ex":0,"consumed":0}"#,
            r#"{"last_ordinal":4294967296,"value_ex":0,"consumed":0}"#,
            r#"{"last_ordinal":1.5,"value_ex":0,"consumed":0}"#,
            r#"{"last_ordinal":1}"#,
            "",
        ] {
            assert!(read(wrong).unwrap_err().starts_with("bad JSON: "), "{wrong}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let json = parse::<SpecificationJson>(b"{\"name\":\"a\xff\",\"value\":\"\"}").map_err(|why| why.0).unwrap();
        assert_eq!(json.name, "a\u{fffd}");
    }
}
