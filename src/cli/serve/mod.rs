//! `serve`: an authority over HTTP, until it is told to end.

mod args;
mod token;

use std::any::Any;
use std::sync::Arc;

use serde_json::json;

use super::failure::Failure;
use super::fold::object;
use super::input::Source;
use super::output::{Output, say};
use super::words;
use crate::algebra::Schema;
use crate::authority::{Authority, FileAuthority};
use crate::server::{
    Certificate, FileOrJwt, Jwt, JwtExpected, JwtKeyError, Options, TokenFile, Tokens, Waker, serve as begin,
    wait_for_signal,
};

pub(super) use args::{ServeArgs, TokenArgs};
pub(super) use token::token;

pub(super) fn serve(args: &ServeArgs, output: &mut Output) -> Result<(), Failure> {
    // A connection is a file, and systems give a program far fewer than it may ask for. What they do not give is refused
    // when it is needed.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let schema = args.schema.as_ref().map(Source::schema).transpose()?;
    // What is wrong with it is told before anything is made or renewed.
    let jwt = jwt(args)?;
    let opened = opened(args, schema)?;
    if let Some(accounts) = opened.renewed {
        say(&format!(
            "{} anew: clients fetch everything and keep what is unsent",
            words::counted(accounts, "account begins", "accounts begin")
        ));
    }
    let path = token::tokens_of(&args.data, args.tokens.as_ref());
    let tokens = TokenFile::new(&path);
    let issued = tokens.list()?.len();
    let signed = jwt.as_ref().map(Jwt::algorithm);
    let tokens: Arc<dyn Tokens> = match jwt {
        Some(jwt) => Arc::new(FileOrJwt { file: tokens, jwt }),
        None => Arc::new(tokens),
    };
    let certificate = match (&args.certificate, &args.key) {
        (Some(certificate), Some(key)) => Some(Certificate::read(certificate, key)?),
        (Some(_) | None, _) => None,
    };
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let options = options(args);
    let running = begin(&args.listen, opened.authority, tokens, options, certificate)?;
    // Held until the server has ended.
    let _watching = (opened.watch)(running.waker())?;
    let url = format!("{scheme}://{}", running.address());
    let mut said = vec![format!("{} is served on {url}", opened.place)];
    said.push(match opened.collections {
        0 => "without a schema any collection may be written; --schema FILE names them".to_owned(),
        count => format!("the schema has {}", words::counted(count as u64, "collection", "collections")),
    });
    if let (Some(algorithm), Some(key)) = (signed, &args.jwt_key) {
        said.push(format!("JWTs signed by {algorithm} are checked by {}", key.display()));
    }
    said.push(match issued {
        0 if signed.is_some() => format!("no other tokens in {}", path.display()),
        0 => format!(
            "nobody can sync yet: `foldlog token create ACCOUNT --tokens {}` makes a token",
            path.display()
        ),
        count => format!("{} in {}", words::counted(count as u64, "token", "tokens"), path.display()),
    });
    if scheme == "http" && !running.address().ip().is_loopback() {
        said.push("without --certificate whoever is in between can read tokens and data".to_owned());
    }
    said.push("Ctrl-C ends it".to_owned());
    output.summary(false, &said.join("\n"), || {
        object(json!({"url": url, "tokens": issued, "collections": opened.collections}))
    })?;
    output.flush()?;
    wait_for_signal()?;
    say("ending: what is being answered is finished");
    running.end();
    Ok(())
}

/// Tells a server of what others write to its data, until what it returns is dropped.
type Watching = Box<dyn FnOnce(Waker) -> Result<Box<dyn Any>, Failure>>;

/// What is served.
struct Opened {
    authority: Arc<dyn Authority>,
    place: String,
    /// How many collections its schema has.
    collections: usize,
    watch: Watching,
    /// How many accounts began anew, where that was asked for.
    renewed: Option<u64>,
}

fn jwt(args: &ServeArgs) -> Result<Option<Jwt>, JwtKeyError> {
    let expected = JwtExpected { audience: args.jwt_audience.clone(), issuer: args.jwt_issuer.clone() };
    args.jwt_key.as_ref().map(|key| Jwt::read(key, expected)).transpose()
}

fn opened(args: &ServeArgs, schema: Option<Schema>) -> Result<Opened, Failure> {
    #[cfg(feature = "postgres")]
    if let Some(url) = &args.postgres {
        return on_postgres(url, args, schema.unwrap_or_default());
    }
    let authority = FileAuthority::create(&args.data, schema)?;
    let renewed = args.restored.then(|| authority.renew_generations()).transpose()?;
    let (place, collections) = (args.data.display().to_string(), authority.schema().collections().count());
    // Nobody else can have the file.
    let watch: Watching = Box::new(|_| Ok(Box::new(())));
    Ok(Opened { authority: Arc::new(authority), place, collections, watch, renewed })
}

#[cfg(feature = "postgres")]
fn on_postgres(url: &str, args: &ServeArgs, schema: Schema) -> Result<Opened, Failure> {
    use crate::authority::postgres::{PostgresAuthority, PostgresOptions, Woken};
    let collections = schema.collections().count();
    let authority = Arc::new(PostgresAuthority::open(url, schema, PostgresOptions::new())?);
    let renewed = args.restored.then(|| authority.restored()).transpose()?;
    let watched = Arc::clone(&authority);
    let watch: Watching = Box::new(move |waker| {
        Ok(Box::new(watched.watch(move |woken| match woken {
            Woken::Account(account) => waker.wake(Some(&account)),
            Woken::Everyone => waker.wake(None),
        })?))
    });
    // The URL may hold a password.
    let place = "the PostgreSQL database".to_owned();
    Ok(Opened { authority, place, collections, watch, renewed })
}

fn options(args: &ServeArgs) -> Options {
    let mut options = Options::default();
    for (said, option) in [
        (args.max_body_bytes, &mut options.body_bytes_max),
        (args.max_operations, &mut options.operations_max),
        (args.max_requests, &mut options.account_requests_max),
        (args.max_streams, &mut options.account_streams_max),
    ] {
        if let Some(said) = said {
            *option = usize::try_from(said).unwrap_or(usize::MAX);
        }
    }
    options.requests_max = options.requests_max.max(options.account_requests_max);
    options.streams_max = options.streams_max.max(options.account_streams_max);
    options
}
