//! `token`: who may speak for which account.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{CreateArgs, RevokeArgs, TokenAction, TokenArgs, TokensArgs};
use crate::algebra::Millis;
use crate::authority::Account;
use crate::cli::failure::Failure;
use crate::cli::fold::object;
use crate::cli::output::Output;
use crate::cli::words;
use crate::clock::now;
use crate::server::{Token, TokenFile};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

pub(in crate::cli) fn token(args: &TokenArgs, output: &mut Output) -> Result<(), Failure> {
    match &args.action {
        TokenAction::Create(args) => create(args, output),
        TokenAction::List(args) => list(args, output),
        TokenAction::Revoke(args) => revoke(args, output),
    }
}

/// The file of the tokens that go with an authority's data.
pub(super) fn tokens_of(data: &Path, tokens: Option<&PathBuf>) -> PathBuf {
    tokens.cloned().unwrap_or_else(|| {
        let mut name = data.as_os_str().to_owned();
        name.push(".tokens");
        PathBuf::from(name)
    })
}

fn file(args: &TokensArgs) -> (PathBuf, TokenFile) {
    let path = tokens_of(&args.data, args.tokens.as_ref());
    (path.clone(), TokenFile::new(path))
}

fn create(args: &CreateArgs, output: &mut Output) -> Result<(), Failure> {
    let account = Account::new(&args.account).map_err(|error| Failure::Failed(error.to_string()))?;
    let (path, tokens) = file(&args.of);
    let now = now();
    let expires = args.days.map(|days| Millis(now.0.saturating_add(days * DAY_MS)));
    let issued = tokens.issue(&account, now, expires)?;
    if output.is_json() {
        let mut told = told(&issued.token);
        told.insert("token".to_owned(), json!(issued.bearer));
        return output.text(&serde_json::Value::Object(told).to_string());
    }
    output.text(&issued.bearer)?;
    let good = args
        .days
        .map_or_else(|| "until it is revoked".to_owned(), |days| words::counted(days, "day", "days"));
    let said = format!(
        "this token speaks for {account}, {good}; keep it, it is told this once\n\
         its hash is in {} under the id {}; a running server knows it at once",
        path.display(),
        issued.token.id
    );
    output.summary(true, &said, || told(&issued.token))
}

fn list(args: &TokensArgs, output: &mut Output) -> Result<(), Failure> {
    let (path, tokens) = file(args);
    let all = tokens.list()?;
    let now = now();
    for token in &all {
        if output.is_json() {
            output.text(&serde_json::Value::Object(told(token)).to_string())?;
            continue;
        }
        let age = words::counted(now.0.saturating_sub(token.created) / DAY_MS, "day", "days");
        let good = match token.expires {
            None => "until it is revoked".to_owned(),
            Some(at) if at <= now.0 => "expired".to_owned(),
            Some(at) => format!("{} more", words::counted((at - now.0).div_ceil(DAY_MS), "day", "days")),
        };
        output.text(&format!("{}  {}  {age} old, {good}", token.id, words::shown(&token.account)))?;
    }
    let said = match all.len() {
        0 => format!("no tokens in {}; `foldlog token create ACCOUNT` makes one", path.display()),
        _ => return Ok(()),
    };
    output.summary(true, &said, || object(json!({"tokens": 0})))
}

fn revoke(args: &RevokeArgs, output: &mut Output) -> Result<(), Failure> {
    let (_, tokens) = file(&args.of);
    let token = tokens.revoke(&args.id)?;
    let said = format!("the token {} speaks for {} no more", token.id, words::shown(&token.account));
    output.summary(false, &said, || told(&token))
}

fn told(token: &Token) -> serde_json::Map<String, serde_json::Value> {
    let mut told = object(json!({"id": token.id, "account": token.account, "created": token.created}));
    if let Some(at) = token.expires {
        told.insert("expires".to_owned(), json!(at));
    }
    told
}
