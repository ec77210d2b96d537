//! Bodies: read and unpacked within their bounds, packed where the client can unpack.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use axum::body::HttpBody;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Limited};

use super::media;
use super::options::Options;
use crate::codec::wire::{Details, Kind, Reply};

/// Bodies from this size on are packed: below, the head weighs more.
const PACKED_BYTES_MIN: usize = 1_024;

/// The most bytes that are read past, of a body that is refused.
const PASSED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Reads a body whole, as it came.
pub(super) async fn read(headers: &HeaderMap, body: &mut Body, options: &Options) -> Result<Bytes, Details> {
    let json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = json.split(';').next().unwrap_or("").trim();
    if !kind.eq_ignore_ascii_case(media::JSON) {
        return Err(Details::new(Kind::MediaType, "send content-type: application/json"));
    }
    let time = Duration::from_millis(options.body_ms_max);
    match tokio::time::timeout(time, Limited::new(body, options.body_bytes_max).collect()).await {
        Err(_) => Err(Details::new(Kind::Malformed, "the body did not come in time")),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(options)),
        Ok(Err(error)) => Err(Details::new(Kind::Malformed, format!("the body did not come whole: {error}"))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

/// Reads past what is left of a body, so that its sender comes to reading why it is refused: whoever is still sending
/// when a connection is closed sees only that it broke. Within bounds, and not where the sender waits to be told to go
/// on.
pub(super) async fn pass(headers: &HeaderMap, body: Body, began: Instant, options: &Options) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let mut body = Limited::new(body, PASSED_BYTES_MAX);
    let past = async { while let Some(Ok(_)) = body.frame().await {} };
    let left = Duration::from_millis(options.body_ms_max).saturating_sub(began.elapsed());
    let _ = tokio::time::timeout(left, past).await;
}

/// The text of a body. Blocks while it is unpacked.
pub(super) fn text(headers: &HeaderMap, body: Bytes, options: &Options) -> Result<String, Details> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let bytes = match encoding {
        None | Some(b"identity") => body.to_vec(),
        Some(b"gzip" | b"x-gzip") => {
            let most = u64::try_from(options.body_bytes_max).unwrap_or(u64::MAX);
            let mut unpacked = Vec::new();
            // One byte more than is allowed tells that there is more.
            let mut reader = MultiGzDecoder::new(&*body).take(most.saturating_add(1));
            let read = reader.read_to_end(&mut unpacked);
            read.map_err(|error| {
                Details::new(Kind::Malformed, format!("the body cannot be unpacked: {error}"))
            })?;
            if unpacked.len() > options.body_bytes_max {
                return Err(too_large(options));
            }
            unpacked
        }
        Some(_) => {
            return Err(Details::new(Kind::MediaType, "send the body as it is, or content-encoding: gzip"));
        }
    };
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        Details::new(Kind::Malformed, format!("byte {at} of the body is not UTF-8"))
    })
}

/// A packed body's text; none where it is refused.
#[cfg(feature = "testing")]
pub(crate) fn unpacked(body: &[u8], body_bytes_max: usize) -> Option<String> {
    let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    text(&headers, Bytes::copy_from_slice(body), &Options { body_bytes_max, ..Options::default() }).ok()
}

fn too_large(options: &Options) -> Details {
    let most = options.body_bytes_max;
    Details::new(Kind::TooLarge, format!("a body has at most {most} bytes, unpacked; send less at once"))
}

/// The response that carries a reply, packed where that is accepted and worth it. Blocks while it is packed.
pub(super) fn response(reply: Reply, accepts_gzip: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let kind = if reply.status == 200 { media::JSON } else { media::PROBLEM };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, accept"));
    if let Some(seconds) = reply.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if reply.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let packed =
        (accepts_gzip && reply.body.len() >= PACKED_BYTES_MIN).then(|| packed(&reply.body)).flatten();
    let body = match packed {
        Some(packed) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            packed
        }
        None => reply.body.into_bytes(),
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::from(body);
    response
}

/// Whether the client says that it unpacks.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        is_gzip && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn packed(text: &str) -> Option<Vec<u8>> {
    // The fastest level: most of what repeats in JSON is near.
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}
