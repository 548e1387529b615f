//! Tokens made and read with fresh keys.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Bound, Claims, Reference, TokenError, Tokens};
use crate::admission::Lister;
use crate::config::ServiceAccountConfig;
use crate::identity::User;

struct Objects(Vec<Value>);

impl Lister for Objects {
    fn get(&self, _group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let found = self.0.iter().find(|o| {
            o["resource"] == resource && o["metadata"]["namespace"] == namespace && o["metadata"]["name"] == name
        });
        found.cloned().map(Arc::new)
    }

    fn list(&self, _group: &str, _resource: &str, _namespace: &str) -> Vec<Arc<Value>> {
        Vec::new()
    }

    fn authorized(&self, _user: &User, _verb: &str, _group: &str, _resource: &str, _name: &str) -> bool {
        false
    }
}

fn tokens() -> Tokens {
    let key = skep_pki::service_account::ServiceAccountKey::generate().expect("key");
    let directory = tempfile::tempdir().expect("directory");
    let (private, public) = (directory.path().join("sa.key"), directory.path().join("sa.pub"));
    std::fs::write(&private, key.private_pem).expect("write");
    std::fs::write(&public, key.public_pem).expect("write");
    let config = ServiceAccountConfig {
        signing_key: private,
        public_keys: vec![public],
        issuer: "https://issuer".to_owned(),
        audiences: Vec::new(),
    };
    Tokens::load(&config).expect("tokens")
}

fn claims(now: i64) -> Claims {
    Claims {
        aud: vec!["https://issuer".to_owned()],
        exp: now + 600,
        iat: now,
        iss: "https://issuer".to_owned(),
        jti: "id".to_owned(),
        bound: Bound {
            namespace: "d".to_owned(),
            pod: Some(Reference { name: "p".to_owned(), uid: "pod-uid".to_owned() }),
            serviceaccount: Reference { name: "web".to_owned(), uid: "uid".to_owned() },
            ..Bound::default()
        },
        nbf: now,
        sub: "system:serviceaccount:d:web".to_owned(),
    }
}

fn objects() -> Objects {
    Objects(vec![
        json!({"resource": "serviceaccounts", "metadata": {"namespace": "d", "name": "web", "uid": "uid"}}),
        json!({"resource": "pods", "metadata": {"namespace": "d", "name": "p", "uid": "pod-uid"}}),
    ])
}

#[test]
fn bound_tokens_live_with_their_objects() {
    let tokens = tokens();
    let audiences = tokens.audiences().to_vec();
    let now = jiff::Timestamp::now().as_second();
    let token = tokens.sign(&claims(now)).expect("sign");
    let (user, shared) = tokens.check(&token, &audiences, &objects()).expect("good");
    assert_eq!(user.name, "system:serviceaccount:d:web");
    assert_eq!(shared, audiences);
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    let mut without_pod = objects();
    without_pod.0.pop();
    assert!(matches!(tokens.check(&token, &audiences, &without_pod), Err(TokenError::Gone("the pod"))));
    let mut recreated = objects();
    recreated.0[0]["metadata"]["uid"] = json!("other");
    assert!(matches!(tokens.check(&token, &audiences, &recreated), Err(TokenError::Gone("the account"))));
}

#[test]
fn refuses_others() {
    let (ours, theirs) = (tokens(), tokens());
    let audiences = ours.audiences().to_vec();
    let now = jiff::Timestamp::now().as_second();
    let forged = theirs.sign(&claims(now)).expect("sign");
    assert!(ours.check(&forged, &audiences, &objects()).is_err());
    let old = ours.sign(&claims(now - 3600)).expect("sign");
    assert!(matches!(ours.check(&old, &audiences, &objects()), Err(TokenError::Invalid(_))));
    let good = ours.sign(&claims(now)).expect("sign");
    let other = ["someone".to_owned()];
    assert!(matches!(ours.check(&good, &other, &objects()), Err(TokenError::Audience { .. })));
    assert!(matches!(ours.check("abc", &audiences, &objects()), Err(TokenError::Foreign)));
    let mut tampered = good;
    tampered.pop();
    assert!(ours.check(&tampered, &audiences, &objects()).is_err());
}
