//! What an operator brings along: keys, certificates, tokens. Made anew for each test, in a directory of its own.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519, SanType, SigningKey as _,
    string::Ia5String,
};
use reqwest::{Certificate, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The directory that stands for `/etc/meterr`, and the keys behind the files in it.
pub(crate) struct Material {
    directory: TempDir,
    issuer: KeyPair,
    servers: Authority,
    clients: Authority,
}

impl Material {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let issuer = signing_key();
        let (servers, clients) = (Authority::new(), Authority::new());
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("it can be written");
        write("jwks.json", &json!({ "keys": [public(&issuer)] }).to_string());
        for folder in ["tls", "sds"] {
            fs::create_dir(directory.path().join(folder)).expect("a directory");
        }
        let secret = json!({ "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                             "name": "openai_key", "generic_secret": { "secret": { "inline_string": "sk-upstream-openai" } } });
        write("sds/openai.yaml", &json!({ "resources": [secret] }).to_string());
        let (certificate, key) = servers.sign(vec![SanType::DnsName(ia5("localhost"))]);
        write("tls/server.crt", &certificate);
        write("tls/server.key", &key);
        write("tls/clients-ca.crt", &clients.certificate);
        Self { directory, issuer, servers, clients }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A token of the issuer that the example trusts, valid for a minute; `more` adds claims and replaces those it names.
    pub(crate) fn token(&self, more: &Value) -> String {
        token(&self.issuer, more)
    }

    /// Who signs the clients' certificates.
    pub(crate) const fn clients(&self) -> &Authority {
        &self.clients
    }

    /// Whom clients trust for the server's certificate.
    pub(crate) fn trusted(&self) -> Certificate {
        Certificate::from_pem(self.servers.certificate.as_bytes()).expect("a certificate")
    }
}

/// A key for tokens.
pub(crate) fn signing_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).expect("a key")
}

/// Its public half as a JSON Web Key (RFC 8037).
fn public(key: &KeyPair) -> Value {
    let x = BASE64_URL_SAFE_NO_PAD.encode(key.public_key_raw());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": "one", "use": "sig", "alg": "EdDSA", "x": x })
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// A token signed by that key, which claims to be the issuer's.
pub(crate) fn token(key: &KeyPair, more: &Value) -> String {
    let mut claims = json!({ "iss": "https://login.corp.example", "aud": "llm", "sub": "ann", "exp": now() + 60 });
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    signed(&json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" }), &claims, |text| key.sign(text).expect("a signature"))
}

/// A token in its compact form (RFC 7515, section 3.1).
pub(crate) fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let text = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
    let signature = part(&sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// A certificate authority.
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A certificate whose issuer has its own name would be taken for self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, both PEM.
    fn sign(&self, names: Vec<SanType>) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// What a client shows: a certificate with these URIs, and perhaps a DNS name.
    pub(crate) fn client(&self, uris: &[&str], dns: Option<&str>) -> Identity {
        let uris = uris.iter().map(|uri| SanType::URI(ia5(uri)));
        let (certificate, key) = self.sign(uris.chain(dns.map(|name| SanType::DnsName(ia5(name)))).collect());
        Identity::from_pem([key, certificate].concat().as_bytes()).expect("an identity")
    }
}

fn ia5(text: &str) -> Ia5String {
    Ia5String::try_from(text).expect("ASCII")
}
