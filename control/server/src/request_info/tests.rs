//! Paths and what they mean.

use http::Method;

use super::RequestInfo;
use crate::query::Query;

fn info(method: &Method, url: &str) -> RequestInfo {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    RequestInfo::new(method, path, &Query::parse(query))
}

#[test]
fn resources() {
    let cases = [
        (Method::GET, "/api/v1/nodes", "list//v1//nodes///"),
        (Method::GET, "/api/v1/namespaces/d/pods/p", "get//v1/d/pods/p//"),
        (Method::GET, "/api/v1/namespaces/d", "get//v1/d/namespaces/d//"),
        (Method::PUT, "/api/v1/namespaces/d/finalize", "update//v1/d/namespaces/d/finalize/"),
        (Method::PATCH, "/apis/apps/v1/namespaces/d/deployments/x/scale", "patch/apps/v1/d/deployments/x/scale/"),
        (Method::DELETE, "/api/v1/namespaces/d/pods", "deletecollection//v1/d/pods///"),
        (Method::GET, "/api/v1/pods?watch=true", "watch//v1//pods///"),
        (Method::GET, "/api/v1/pods?watch=1&fieldSelector=metadata.name%3Da", "watch//v1//pods/a//"),
        (Method::GET, "/api/v1/watch/namespaces/d/pods", "watch//v1/d/pods///"),
        (Method::GET, "/api/v1/nodes/n/proxy/a/b", "get//v1//nodes/n/proxy/a/b"),
    ];
    for (method, url, expected) in cases {
        let i = info(&method, url);
        assert!(i.is_resource, "{url}");
        let actual =
            [&*i.verb, &i.group, &i.version, &i.namespace, &i.resource, &i.name, &i.subresource, &i.rest].join("/");
        assert_eq!(actual, expected, "{url}");
    }
}

#[test]
fn other_paths() {
    for url in ["/", "/api", "/api/v1", "/apis/apps/v1", "/healthz", "/openapi/v2"] {
        let i = info(&Method::GET, url);
        assert!(!i.is_resource, "{url}");
        assert_eq!(i.verb, "get");
    }
}
