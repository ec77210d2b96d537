//! The OpenAPI document of what is served: made of the same paths, kinds and bounds that the server answers by, so that
//! it cannot say something else.
//!
//! What a schema cannot say stands in words where it belongs ("rules"); a request that keeps to both is understood, and
//! one that breaks either is refused as `malformed`. `tests/server/openapi` asks the server whether that is so.

mod answers;
mod operations;
mod schemas;
mod shapes;

use std::sync::LazyLock;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

use super::listen::HEAD_BYTES_MAX;

/// The scheme by which a request says whose it is.
const BEARER: &str = "bearer";

/// As SPDX has it.
const LICENSE: &str = env!("CARGO_PKG_LICENSE");

static TEXT: LazyLock<String> = LazyLock::new(|| {
    // Writing what serde was made for into memory cannot fail; an empty page would be noticed by every test.
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
});

/// The document as it is served.
pub(super) fn text() -> &'static str {
    &TEXT
}

fn document() -> OpenApi {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("says which account a request is about; nothing else does"))
        .build();
    let components = ComponentsBuilder::new().security_scheme(BEARER, SecurityScheme::Http(scheme));
    let components = answers::add(schemas::add(components));
    let license = LicenseBuilder::new().name(LICENSE).identifier(Some(LICENSE)).build();
    let info = InfoBuilder::new()
        .title("foldlog authority")
        .version("1")
        .description(Some(description()))
        .license(Some(license));
    OpenApiBuilder::new().info(info).paths(operations::all()).components(Some(components.build())).build()
}

/// What holds for all paths.
fn description() -> String {
    let head_bytes_max = HEAD_BYTES_MAX;
    format!("\
What a client with a replica and an authority say to each other, version 1.

Reading is strict on both sides: an unknown key, a wrong value, something twice is refused by name. What a schema \
cannot say is said in words beside it, as rules; a request that breaks one is answered as one that breaks its schema. \
Rules that hold everywhere:

- No key stands twice in an object, and nothing stands behind one.
- Strings are Unicode: no half of a surrogate pair.
- A whole number is written in digits alone (`12`, not `12.0` or `1.2e1`).
- An id is a UUID with hyphens in either case, never the nil one.
- Names are counted in bytes of UTF-8 where they have a bound.

Bodies may be packed with gzip on the way there (`content-encoding: gzip`), and answers are where `accept-encoding` \
says that they may be. A path that is not listed is answered with 404 `urn:foldlog:not-found`, another method than \
those listed with 405 `urn:foldlog:method` (HEAD is answered as GET, without the body). What is no HTTP/1.1 request at \
all, or has a head of more than {head_bytes_max} bytes, is answered by a status without a body."
    )
}
