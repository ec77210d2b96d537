//! What can be said to `serve` and `token`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::input::Source;

/// Where an authority's data is unless it is said.
const DATA: &str = "authority.redb";

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ServeArgs {
    /// The authority's file; it is made if there is none.
    #[arg(long, value_name = "FILE", default_value = DATA)]
    pub(super) data: PathBuf,
    /// Keep the data in this PostgreSQL database instead (`postgres://user@host/name`); tables are made and changed as
    /// the schema asks.
    #[cfg(feature = "postgres")]
    #[arg(long, value_name = "URL", conflicts_with = "data", requires = "schema")]
    pub(super) postgres: Option<String>,
    /// A schema (JSON): the collections there are, with their policies, unique keys and references. It is kept with the
    /// data; where there never was one, any collection may be written, and the last operation counts.
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<Source>,
    /// The address to listen on; port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8470")]
    pub(super) listen: String,
    /// The file of the tokens; by default the data's with `.tokens` behind its name.
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// Take tokens that another program signs (JWT), too: their `sub` is the account, and they need an `exp`. The file is
    /// a public key (PEM: RS256, ES256 or EdDSA) or a shared secret of at least 32 bytes (HS256). Such a token is good
    /// until its `exp`; an account that is erased begins anew with it, empty.
    #[arg(long, value_name = "FILE")]
    pub(super) jwt_key: Option<PathBuf>,
    /// This server's name, which a JWT's `aud` has to hold; without a name a JWT must have no `aud`.
    #[arg(long, value_name = "NAME", requires = "jwt_key")]
    pub(super) jwt_audience: Option<String>,
    /// Who signs, which a JWT's `iss` has to be.
    #[arg(long, value_name = "NAME", requires = "jwt_key")]
    pub(super) jwt_issuer: Option<String>,
    /// A certificate with those that vouch for it (PEM): speak TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) certificate: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// The data was restored from a backup: every account begins another generation, so that clients fetch everything
    /// anew and keep what is unsent. To be said once, at the first start after the restore.
    #[arg(long)]
    pub(super) restored: bool,
    /// The most bytes of a request's body, unpacked.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_body_bytes: Option<u64>,
    /// The most operations in a bunch.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_operations: Option<u64>,
    /// The most requests of one account that are answered at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_requests: Option<u64>,
    /// The most open streams of one account.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max_streams: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct TokenArgs {
    #[command(subcommand)]
    pub(super) action: TokenAction,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenAction {
    /// Make a token that speaks for an account; it goes to standard output, this once.
    #[command(after_help = "\
Examples:
  foldlog token create anna
  foldlog token create anna --days 30 > anna.token")]
    Create(CreateArgs),
    /// The tokens that there are, a line each; nobody can read them again.
    #[command(after_help = "Example:\n  foldlog token list")]
    List(TokensArgs),
    /// Revoke a token, by the id that `list` shows; its streams end within seconds.
    #[command(after_help = "Example:\n  foldlog token revoke 3f29a1c07be4d852")]
    Revoke(RevokeArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct TokensArgs {
    /// The authority's file: its tokens are in the one with `.tokens` behind its name.
    #[arg(long, value_name = "FILE", default_value = DATA)]
    pub(super) data: PathBuf,
    /// The file of the tokens.
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CreateArgs {
    /// The account: any name, such as a mail address. It is made when something is first written to it.
    #[arg(value_name = "ACCOUNT")]
    pub(super) account: String,
    /// How many days the token is good for; for ever unless said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    pub(super) days: Option<u64>,
    #[command(flatten)]
    pub(super) of: TokensArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RevokeArgs {
    /// The token's id.
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) of: TokensArgs,
}
