//! A body that is a package: handed on as it arrives, with what its headers say of it.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use outrigger_api::{ApiError, ApiResult, ArchiveKind, Code, Digest, PackageUpload};
use schemars::{Schema, SchemaGenerator, json_schema};

use super::body::{self, BodyLimits};
use super::budget::Share;
use super::input::Payload;

/// RFC 9530; and the header it replaced, which many clients still send.
const DIGESTS: [HeaderName; 3] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
];

/// A package on its way.
#[derive(Debug)]
pub struct Upload(pub PackageUpload);

impl Payload for Upload {
    const MEDIA: &'static [&'static str] = &[ArchiveKind::Zip.media(), ArchiveKind::TarGz.media()];
    const STREAMED: bool = true;

    /// Written to disk as it arrives; the platform limits the size of all uploads.
    async fn receive(headers: &HeaderMap, body: Body, limits: BodyLimits, _: &mut Share) -> ApiResult<(Self, Bytes)> {
        // Made first: where the headers are refused, it goes on being read for a moment.
        let content = Box::pin(body::stream(body, limits));
        let upload =
            PackageUpload { kind: kind(headers)?, size: body::announced(headers), digest: digest(headers)?, content };
        Ok((Self(upload), Bytes::new()))
    }

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        Some(json_schema!({"type": "string", "format": "binary"}))
    }
}

fn kind(headers: &HeaderMap) -> ApiResult<ArchiveKind> {
    let refuse = |message: String| {
        Err(ApiError::new(Code::UnsupportedMediaType, message)
            .with_hint("send a `.zip` as application/zip, or a `.tar.gz` as application/gzip"))
    };
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("the body is encoded; send it without `Content-Encoding`".to_owned());
    }
    let Some(media) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the request has no `Content-Type`".to_owned());
    };
    let text = media.to_str().unwrap_or_default();
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match name.as_str() {
        "application/zip" | "application/x-zip-compressed" => Ok(ArchiveKind::Zip),
        "application/gzip" | "application/x-gzip" => Ok(ArchiveKind::TarGz),
        _ => refuse(format!("unsupported media type `{}`", text.chars().take(80).collect::<String>())),
    }
}

/// The SHA-256 of the body, as the client declares it. Other algorithms are ignored.
fn digest(headers: &HeaderMap) -> ApiResult<Option<Digest>> {
    let mut found = None;
    for name in DIGESTS {
        for value in headers.get_all(&name) {
            let said = value.to_str().ok().and_then(|text| sha256(text, name != DIGESTS[2]));
            let Some(said) = said else {
                let message = format!("`{name}` is not a valid list of digests");
                return Err(ApiError::new(Code::InvalidUsage, message)
                    .with_hint("write `Content-Digest: sha-256=:BASE64:` (RFC 9530)"));
            };
            if found.is_some() && said.is_some() && found != said {
                return Err(ApiError::new(Code::InvalidUsage, "two headers name different digests of the body"));
            }
            found = found.or(said);
        }
    }
    Ok(found)
}

/// The SHA-256 in a list of digests; the outer option is none for an invalid list.
fn sha256(text: &str, colons: bool) -> Option<Option<Digest>> {
    let mut found = None;
    for member in text.split(',') {
        let (algorithm, value) = member.trim().split_once('=')?;
        let value = match colons {
            true => value.strip_prefix(':')?.strip_suffix(':')?,
            false => value,
        };
        let bytes = base64_simd::STANDARD.decode_to_vec(value).ok()?;
        if algorithm.eq_ignore_ascii_case("sha-256") {
            found = Some(Digest::from_bytes(bytes.try_into().ok()?));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn digests_are_read_in_both_forms() {
        let expected = Some(Digest::of(b""));
        let check = |pairs: &[(&'static str, &str)], expected: Result<Option<Digest>, Code>| {
            assert_eq!(digest(&headers(pairs)).map_err(|error| error.code), expected, "{pairs:?}");
        };
        let (new, old) = (format!("sha-256=:{EMPTY}:"), format!("SHA-256={EMPTY}"));
        check(&[], Ok(None));
        check(&[("content-digest", &new)], Ok(expected));
        check(&[("repr-digest", &new), ("digest", &old)], Ok(expected));
        check(&[("content-digest", &format!("sha-512=:AAAA:, {new}"))], Ok(expected));
        check(&[("content-digest", "sha-512=:AAAA:")], Ok(None));
        for wrong in ["", "sha-256", &old, "sha-256=:AAAA:", "sha-256=:not base64:"] {
            check(&[("content-digest", wrong)], Err(Code::InvalidUsage));
        }
        check(
            &[("content-digest", &new), ("digest", &format!("sha-256={}", "A".repeat(43) + "="))],
            Err(Code::InvalidUsage),
        );
    }

    #[test]
    fn only_archives_are_packages() {
        let check = |pairs: &[(&'static str, &str)], expected: Option<ArchiveKind>| {
            assert_eq!(kind(&headers(pairs)).ok(), expected, "{pairs:?}");
        };
        check(&[("content-type", "application/zip")], Some(ArchiveKind::Zip));
        check(&[("content-type", "Application/GZIP; x=1")], Some(ArchiveKind::TarGz));
        check(&[("content-type", "application/json")], None);
        check(&[], None);
        check(&[("content-type", "application/gzip"), ("content-encoding", "gzip")], None);
    }
}
