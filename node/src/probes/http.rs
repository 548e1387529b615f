//! HTTP requests of probes and hooks: plain or TLS without verification, redirects on the same host only; from
//! [`attempt`](super::attempt) and [`hooks`](crate::hooks); to the container. Performs IO.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};

use super::attempt::{dial, host, port_number};

const REDIRECTS: usize = 10;
const BODY_LIMIT: usize = 10 * 1024;

/// Asks once; the error is the text of the event.
///
/// # Errors
/// No answer in time, or a status outside 200–399.
pub async fn get(
    container: &Container,
    action: &HTTPGetAction,
    address: Option<IpAddr>,
    limit: Duration,
) -> Result<(), String> {
    let port = port_number(container, &action.port)?;
    let host = host(action.host.as_deref(), address)?;
    let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let path = action.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{authority}{slash}{path}");
    match tokio::time::timeout(limit, follow(&url, &host, action, limit)).await {
        Ok(result) => result,
        Err(_elapsed) => {
            Err(format!("Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"))
        }
    }
}

async fn follow(first: &str, host: &str, action: &HTTPGetAction, limit: Duration) -> Result<(), String> {
    let mut url = first.to_owned();
    for _ in 0..=REDIRECTS {
        let uri: Uri = url.parse().map_err(|error| format!("Get \"{url}\": {error}"))?;
        let (status, location) =
            request(&uri, action, limit).await.map_err(|error| format!("Get \"{url}\": {error}"))?;
        let next = location.filter(|_| status.is_redirection()).and_then(|location| resolve(&uri, &location));
        match next {
            Some(next) if next.host().map(|host| host.trim_matches(['[', ']'])) == Some(host) => url = next.to_string(),
            _ if (200..400).contains(&status.as_u16()) => return Ok(()),
            _ => return Err(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
        }
    }
    Err(format!("Get \"{url}\": stopped after {REDIRECTS} redirects"))
}

fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with('/') {
        return format!("{}://{}{location}", base.scheme_str()?, base.authority()?).parse().ok();
    }
    location.parse().ok()
}

async fn request(uri: &Uri, action: &HTTPGetAction, limit: Duration) -> Result<(StatusCode, Option<String>), String> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = dial(host, port, limit).await?;
    let mut builder = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()));
    let mut named_host = false;
    let mut named_agent = false;
    let mut named_accept = false;
    for header in action.http_headers.iter().flatten() {
        named_host |= header.name.eq_ignore_ascii_case("host");
        named_agent |= header.name.eq_ignore_ascii_case("user-agent");
        named_accept |= header.name.eq_ignore_ascii_case("accept");
        builder = builder.header(&header.name, &header.value);
    }
    if !named_host {
        builder = builder.header("host", uri.authority().map_or(host, |authority| authority.as_str()));
    }
    if !named_agent {
        builder = builder.header("user-agent", "kube-probe/1.34");
    }
    if !named_accept {
        builder = builder.header("accept", "*/*");
    }
    let request = builder.header("connection", "close").body(Empty::new()).map_err(|error| error.to_string())?;
    if secure {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&TLS));
        exchange(connector.connect(name, stream).await.map_err(|error| error.to_string())?, request).await
    } else {
        exchange(stream, request).await
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<bytes::Bytes>>) -> Result<(StatusCode, Option<String>), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(|error| match error.is_incomplete_message() {
        true => "EOF".to_owned(),
        false => error.to_string(),
    })?;
    let status = answer.status();
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    // The body does not matter, but a server may mind when nobody reads it.
    drop(Limited::new(answer.into_body(), BODY_LIMIT).collect().await);
    drop(connection);
    Ok((status, location))
}

static TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has TLS 1.2 and 1.3");
    let verifier = Arc::new(NoVerification(provider));
    Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
});

/// Probes ask whether the container answers, not who it is: the API defines that certificates are not verified.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn serve(answers: Vec<&'static str>) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer).await.unwrap();
                assert!(String::from_utf8_lossy(&buffer[..count]).contains("kube-probe/"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    async fn probe(answers: Vec<&'static str>) -> Result<(), String> {
        let port = serve(answers).await;
        let action: HTTPGetAction = serde_json::from_value(json!({"port": port, "path": "/x"})).unwrap();
        let address = Some("127.0.0.1".parse().unwrap());
        get(&Container::default(), &action, address, Duration::from_secs(2)).await
    }

    #[tokio::test]
    async fn judges_by_status_and_follows_redirects_on_the_host() {
        assert_eq!(probe(vec!["HTTP/1.1 204 No Content\r\n\r\n"]).await, Ok(()));
        assert_eq!(
            probe(vec!["HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"]).await,
            Err("HTTP probe failed with statuscode: 500".to_owned())
        );
        let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(probe(vec![elsewhere]).await, Ok(()));
        let here = "HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n";
        assert!(probe(vec![here, "HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"]).await.unwrap_err().ends_with("404"));
    }
}
