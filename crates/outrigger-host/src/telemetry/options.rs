//! The variables of OpenTelemetry, read once. What is wrong in them is an error, so that nobody waits for traces in vain.

use std::time::Duration;

use outrigger_api::{ApiError, ApiResult, Code};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::sampler::Sampler;
use crate::environment::{self as env, Variable};

/// The attribute that has the name of the service.
pub(super) const SERVICE: &str = "service.name";

/// The signals to send, and their endpoints.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryOptions {
    /// Where traces go; none where they are not sent.
    pub(super) traces: Option<Url>,
    /// Where metrics go; none where they are not sent.
    pub(super) metrics: Option<Url>,
    /// Sent along. Their values may be secrets; `Debug` does not show them.
    pub(super) headers: HeaderMap,
    pub(super) gzip: bool,
    pub(super) timeout: Duration,
    pub(super) service: String,
    /// Further attributes of the service.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    pub(super) metrics_interval: Duration,
    pub(super) traces_delay: Duration,
    /// Spans that may wait.
    pub(super) queue: usize,
    /// Spans that are sent at once.
    pub(super) batch: usize,
}

impl TelemetryOptions {
    /// Reads the environment; none if nothing is to be sent.
    ///
    /// # Errors
    /// `invalid_usage`, with the name of the variable that is wrong.
    pub(crate) fn from_environment() -> ApiResult<Option<Self>> {
        Self::read(&env::text)
    }

    fn read(value: &dyn Fn(Variable) -> Option<String>) -> ApiResult<Option<Self>> {
        if value(env::OTEL_DISABLED).is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let reader = Reader { value };
        let traces = reader.endpoint(env::OTEL_TRACES, env::OTLP_TRACES_ENDPOINT, "v1/traces")?;
        let metrics = reader.endpoint(env::OTEL_METRICS, env::OTLP_METRICS_ENDPOINT, "v1/metrics")?;
        if traces.is_none() && metrics.is_none() {
            return Ok(None);
        }
        reader.one_of(env::OTLP_PROTOCOL, &["http/protobuf"])?;
        let mut attributes = reader.pairs(env::OTEL_RESOURCE)?;
        let place = attributes.iter().position(|(name, _)| name == SERVICE);
        let service = place.map(|place| attributes.remove(place).1);
        let queue = reader.count(env::OTEL_TRACES_QUEUE, 2_048)?;
        Ok(Some(Self {
            traces,
            metrics,
            headers: reader.headers()?,
            gzip: reader.one_of(env::OTLP_COMPRESSION, &["none", "gzip"])? == Some(1),
            timeout: reader.milliseconds(env::OTLP_TIMEOUT, 10_000)?,
            service: reader.text(env::OTEL_SERVICE).or(service).unwrap_or_else(|| "outrigger".to_owned()),
            attributes,
            sampler: reader.sampler()?,
            metrics_interval: reader.milliseconds(env::OTEL_METRICS_INTERVAL, 60_000)?,
            traces_delay: reader.milliseconds(env::OTEL_TRACES_DELAY, 5_000)?,
            batch: reader.count(env::OTEL_TRACES_BATCH, 512)?.min(queue),
            queue,
        }))
    }
}

struct Reader<'a> {
    value: &'a dyn Fn(Variable) -> Option<String>,
}

fn wrong(variable: Variable, text: &str, expected: &str) -> ApiError {
    let name = variable.name;
    // The value of a header may be a secret.
    let shown = if variable == env::OTLP_HEADERS { String::new() } else { format!(" is `{text}`, which") };
    ApiError::new(Code::InvalidUsage, format!("the variable {name}{shown} is not {expected}"))
        .with_hint(format!("correct {name}, or unset it; OTEL_SDK_DISABLED=true sends nothing at all"))
}

impl Reader<'_> {
    fn text(&self, variable: Variable) -> Option<String> {
        (self.value)(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The place of the text in a list of those that there are.
    fn one_of(&self, variable: Variable, known: &[&str]) -> ApiResult<Option<usize>> {
        let Some(text) = self.text(variable) else { return Ok(None) };
        match known.iter().position(|known| *known == text) {
            Some(place) => Ok(Some(place)),
            None => Err(wrong(variable, &text, &format!("`{}`", known.join("` or `")))),
        }
    }

    /// Where one kind is sent, if it is.
    fn endpoint(&self, exporter: Variable, own: Variable, path: &str) -> ApiResult<Option<Url>> {
        if self.one_of(exporter, &["otlp", "none"])? == Some(1) {
            return Ok(None);
        }
        if let Some(text) = self.text(own) {
            return url(own, &text, &text).map(Some);
        }
        let Some(text) = self.text(env::OTLP_ENDPOINT) else { return Ok(None) };
        url(env::OTLP_ENDPOINT, &text, &format!("{}/{path}", text.trim_end_matches('/'))).map(Some)
    }

    fn number<T: std::str::FromStr + PartialOrd>(
        &self,
        variable: Variable,
        least: T,
        expected: &str,
    ) -> ApiResult<Option<T>> {
        let Some(text) = self.text(variable) else { return Ok(None) };
        match text.parse::<T>() {
            Ok(number) if number >= least => Ok(Some(number)),
            _ => Err(wrong(variable, &text, expected)),
        }
    }

    fn milliseconds(&self, variable: Variable, default: u64) -> ApiResult<Duration> {
        let number = self.number(variable, 1, "a number of milliseconds, at least 1")?;
        Ok(Duration::from_millis(number.unwrap_or(default)))
    }

    fn count(&self, variable: Variable, default: usize) -> ApiResult<usize> {
        Ok(self.number(variable, 1, "a number, at least 1")?.unwrap_or(default))
    }

    fn sampler(&self) -> ApiResult<Sampler> {
        let expected = "a share from 0 to 1";
        let share = self.number(env::OTEL_SAMPLER_ARGUMENT, 0.0, expected)?.unwrap_or(1.0);
        if share > 1.0 {
            return Err(wrong(env::OTEL_SAMPLER_ARGUMENT, &share.to_string(), expected));
        }
        let known = [
            ("parentbased_always_on", true, 1.0),
            ("parentbased_always_off", true, 0.0),
            ("parentbased_traceidratio", true, share),
            ("always_on", false, 1.0),
            ("always_off", false, 0.0),
            ("traceidratio", false, share),
        ];
        let place = self.one_of(env::OTEL_SAMPLER, &known.map(|(name, ..)| name))?.unwrap_or(0);
        let (_, follows_client, share) = known[place];
        Ok(Sampler { follows_client, share })
    }

    /// `name=value,name=value`, values with `%` for what could not stand there.
    fn pairs(&self, variable: Variable) -> ApiResult<Vec<(String, String)>> {
        let Some(text) = self.text(variable) else { return Ok(Vec::new()) };
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let name = unescaped(name.trim()).filter(|name| !name.is_empty())?;
            Some((name, unescaped(value.trim())?))
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let pairs: Option<_> = parts.map(pair).collect();
        pairs.ok_or_else(|| wrong(variable, &text, "a list such as `name=value,other=value`"))
    }

    fn headers(&self) -> ApiResult<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.pairs(env::OTLP_HEADERS)? {
            let header = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
            let (name, mut value) = header.ok_or_else(|| wrong(env::OTLP_HEADERS, "", "a list of headers"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }
}

fn url(variable: Variable, text: &str, address: &str) -> ApiResult<Url> {
    let url = address.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| wrong(variable, text, "an address such as `http://localhost:4318`"))
}

/// With the bytes that `%` and two hexadecimal digits stand for.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(Variable, &str)]) -> ApiResult<Option<TelemetryOptions>> {
        TelemetryOptions::read(&|wanted| {
            variables.iter().find(|(variable, _)| *variable == wanted).map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (Variable, &str) = (env::OTLP_ENDPOINT, "http://collector:4318/");

    #[test]
    fn nothing_is_sent_without_an_endpoint_or_when_it_is_disabled() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[(env::OTEL_SERVICE, "x")]).unwrap().is_none());
        assert!(read(&[ENDPOINT, (env::OTEL_DISABLED, "TRUE")]).unwrap().is_none());
        assert!(read(&[ENDPOINT, (env::OTEL_TRACES, "none"), (env::OTEL_METRICS, "none")]).unwrap().is_none());
    }

    #[test]
    fn the_variables_are_read() {
        let options = read(&[
            ENDPOINT,
            (env::OTLP_METRICS_ENDPOINT, "https://metrics.example.com/in"),
            (env::OTLP_HEADERS, "authorization=Bearer%20top-secret, x-team=ops"),
            (env::OTEL_SERVICE, "fleet"),
            (env::OTEL_RESOURCE, "deployment.environment.name=production"),
            (env::OTEL_SAMPLER, "parentbased_traceidratio"),
            (env::OTEL_SAMPLER_ARGUMENT, "0.1"),
            (env::OTEL_TRACES_QUEUE, "100"),
            (env::OTLP_COMPRESSION, "gzip"),
        ]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.traces.as_ref().unwrap().as_str(), "http://collector:4318/v1/traces");
        assert_eq!(options.metrics.as_ref().unwrap().as_str(), "https://metrics.example.com/in");
        assert_eq!(options.headers["authorization"], "Bearer top-secret");
        assert_eq!(options.sampler, Sampler { follows_client: true, share: 0.1 });
        assert_eq!((options.queue, options.batch, options.gzip), (100, 100, true));
        assert!(!format!("{options:?}").contains("top-secret"));
    }

    #[test]
    fn what_is_wrong_is_named_and_secrets_are_not_shown() {
        for (variable, value) in [
            (env::OTLP_ENDPOINT, "collector:4318"),
            (env::OTLP_PROTOCOL, "grpc"),
            (env::OTLP_TIMEOUT, "10s"),
            (env::OTEL_SAMPLER, "sometimes"),
            (env::OTEL_SAMPLER_ARGUMENT, "1.5"),
            (env::OTEL_SAMPLER_ARGUMENT, "NaN"),
            (env::OTEL_TRACES_BATCH, "0"),
            (env::OTEL_TRACES, "jaeger"),
            (env::OTLP_HEADERS, "top-secret"),
            (env::OTLP_HEADERS, "x=top%secret"),
        ] {
            let error = read(&[(variable, value), ENDPOINT]).unwrap_err();
            assert_eq!(error.code, Code::InvalidUsage);
            assert!(error.message.contains(variable.name), "{}", error.message);
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
    }
}
