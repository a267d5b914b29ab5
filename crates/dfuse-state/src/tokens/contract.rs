use dfuse_antelope::{Name, abi::Abi};

use super::record::{ACCOUNTS, STAT};

/// Steps from an alias or a struct to what it stands for or begins with: more is a circle.
const MAX_STEPS: usize = 32;

/// Whether an ABI is that of a token contract: a table `accounts` of which rows begin with an asset, and a table `stat` of which
/// they begin with supply, maximum supply and issuer.
pub fn is_token_contract(abi: &Abi) -> bool {
    let first_fields = |table: Name| {
        let table = abi.tables.iter().find(|it| it.name == table)?;
        fields(abi, &table.type_name)
    };
    let (Some(accounts), Some(stat)) = (first_fields(ACCOUNTS), first_fields(STAT)) else { return false };
    let begins = |fields: &[(&str, &str)], types: &[&str]| {
        fields.len() >= types.len() && fields.iter().zip(types).all(|((_, found), wanted)| found == wanted)
    };
    let names = stat.iter().map(|(name, _)| *name);
    begins(&accounts, &["asset"])
        && begins(&stat, &["asset", "asset", "name"])
        && names.take(3).eq(["supply", "max_supply", "issuer"])
}

/// Names and types of a struct's fields, those of its bases first, with aliases resolved.
fn fields<'a>(abi: &'a Abi, type_name: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut bases = Vec::new();
    let mut name = resolve(abi, type_name)?;
    while !name.is_empty() {
        if bases.len() == MAX_STEPS {
            return None;
        }
        let found = abi.structs.iter().find(|it| it.name == name)?;
        bases.push(found);
        name = resolve(abi, &found.base)?;
    }
    let fields = bases.into_iter().rev().flat_map(|it| &it.fields);
    fields.map(|field| Some((&*field.name, resolve(abi, &field.type_name)?))).collect()
}

fn resolve<'a>(abi: &'a Abi, mut name: &'a str) -> Option<&'a str> {
    for _ in 0..MAX_STEPS {
        match abi.types.iter().find(|alias| alias.new_type_name == name) {
            Some(alias) => name = &alias.type_name,
            None => return Some(name),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_their_tables() {
        let text = r#"{"version": "eosio::abi/1.1",
            "types": [{"new_type_name": "account_name", "type": "name"}, {"new_type_name": "loop", "type": "loop"}],
            "structs": [{"name": "account", "base": "", "fields": [{"name": "balance", "type": "asset"}]},
                        {"name": "supplies", "base": "", "fields": [{"name": "supply", "type": "asset"},
                                                                    {"name": "max_supply", "type": "asset"}]},
                        {"name": "stats", "base": "supplies", "fields": [{"name": "issuer", "type": "account_name"}]},
                        {"name": "self", "base": "self", "fields": []}],
            "tables": [{"name": "accounts", "type": "account"}, {"name": "stat", "type": "stats"}]}"#;
        assert!(is_token_contract(&serde_json::from_str(text).unwrap()));
        for (from, to) in [
            ("\"stat\"", "\"stats\""),
            ("\"max_supply\"", "\"most\""),
            ("\"type\": \"stats\"", "\"type\": \"self\""),
            ("\"type\": \"account_name\"", "\"type\": \"loop\""),
            ("\"balance\", \"type\": \"asset\"", "\"balance\", \"type\": \"uint64\""),
        ] {
            assert!(text.contains(from));
            assert!(!is_token_contract(&serde_json::from_str(&text.replace(from, to)).unwrap()), "{from}");
        }
    }
}
