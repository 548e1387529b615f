//! A field's value as upstream prints its internal struct: every member by its Go name in the order of declaration, nil and zeros included;
//! from canonical JSON and the table of types; to the words of refusals that quote the value; pure.

use serde_json::Value;

use crate::schema::canonical::zero;
use crate::schema::{self, Empty, Field, ObjectType, Type};

/// A printed value whose members keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum GoValue {
    /// A struct or a map.
    Object(Vec<(String, Self)>),
    /// A slice.
    List(Vec<Self>),
    /// Anything else.
    Plain(Value),
}

/// Members that are not declared in the order of their protobuf numbers: type, members in order. Members that are not named follow.
const ORDER: [(&str, &str); 7] = [
    (
        "Container",
        "name image command args workingDir ports envFrom env resources resizePolicy restartPolicy restartPolicyRules \
         volumeMounts volumeDevices livenessProbe readinessProbe startupProbe lifecycle terminationMessagePath \
         terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty",
    ),
    ("PersistentVolumeClaimSpec", "accessModes selector resources volumeName storageClassName volumeMode dataSource"),
    (
        "PodSecurityContext",
        "hostNetwork hostPID hostIPC shareProcessNamespace hostUsers seLinuxOptions windowsOptions runAsUser runAsGroup \
         runAsNonRoot supplementalGroups supplementalGroupsPolicy fsGroup fsGroupChangePolicy sysctls seccompProfile \
         appArmorProfile seLinuxChangePolicy",
    ),
    (
        "PodSpec",
        "volumes initContainers containers ephemeralContainers restartPolicy terminationGracePeriodSeconds \
         activeDeadlineSeconds dnsPolicy nodeSelector serviceAccountName automountServiceAccountToken nodeName \
         securityContext imagePullSecrets hostname subdomain setHostnameAsFQDN affinity schedulerName tolerations \
         hostAliases priorityClassName priority preemptionPolicy dnsConfig readinessGates runtimeClassName overhead \
         enableServiceLinks topologySpreadConstraints",
    ),
    (
        "SecurityContext",
        "capabilities privileged seLinuxOptions windowsOptions runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem \
         allowPrivilegeEscalation procMount",
    ),
    (
        "Volume",
        "name hostPath emptyDir gcePersistentDisk awsElasticBlockStore gitRepo secret nfs iscsi glusterfs \
         persistentVolumeClaim rbd quobyte flexVolume cinder cephfs flocker downwardAPI fc azureFile configMap \
         vsphereVolume azureDisk photonPersistentDisk projected portworxVolume scaleIO storageos csi ephemeral",
    ),
    ("VolumeMount", "name readOnly recursiveReadOnly mountPath"),
];

/// Members of a pod's spec that upstream keeps in the spec's security context.
const OF_HOST: [&str; 5] = ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"];

/// Names that are more than the JSON name with a capital.
const NAMES: &[(&str, &str)] = &[
    ("apiGroup", "APIGroup"),
    ("apiVersion", "APIVersion"),
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("cephfs", "CephFS"),
    ("csi", "CSI"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("fc", "FC"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("fsType", "FSType"),
    ("gcePersistentDisk", "GCEPersistentDisk"),
    ("gmsaCredentialSpec", "GMSACredentialSpec"),
    ("gmsaCredentialSpecName", "GMSACredentialSpecName"),
    ("grpc", "GRPC"),
    ("httpGet", "HTTPGet"),
    ("httpHeaders", "HTTPHeaders"),
    ("ip", "IP"),
    ("iqn", "IQN"),
    ("iscsi", "ISCSI"),
    ("nfs", "NFS"),
    ("os", "OS"),
    ("pdName", "PDName"),
    ("rbd", "RBD"),
    ("seLinuxChangePolicy", "SELinuxChangePolicy"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("storageos", "StorageOS"),
    ("targetWWNs", "TargetWWNs"),
    ("tcpSocket", "TCPSocket"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("wwids", "WWIDs"),
];

/// A value of the built-in type with this OpenAPI name (`io.k8s.api.core.v1.PodSpec`).
pub(super) fn of_type(name: &str, value: &Value) -> GoValue {
    match schema::builtin(name) {
        Some(object) => object_value(object.get(), value),
        None => GoValue::Plain(value.clone()),
    }
}

fn object_value(ty: &ObjectType, value: &Value) -> GoValue {
    // Types shared with the API keep their JSON names and leave out what is empty.
    let shared = ty.name.starts_with("io.k8s.apimachinery.");
    if shared && !value.is_object() {
        return GoValue::Plain(value.clone());
    }
    let mut members = Vec::new();
    for field in ordered(ty) {
        let given = &value[field.name.as_ref()];
        if is_object_meta(field) {
            // Embedded in the struct around it.
            if let GoValue::Object(embedded) = value_of(&field.ty, given) {
                members.extend(embedded);
            }
        } else if !shared {
            members.push((go_name(&field.name), member(ty, field, value)));
        } else if !given.is_null() {
            members.push((field.name.to_string(), value_of(&field.ty, given)));
        }
    }
    GoValue::Object(members)
}

/// One member of a struct, with the moves between external and internal form.
fn member(ty: &ObjectType, field: &Field, value: &Value) -> GoValue {
    if ty.short_name() == "PodSpec" && field.name == "securityContext" {
        return pod_security_context(ty, &field.ty, value);
    }
    let given = &value[field.name.as_ref()];
    if given.is_null() { absent(field) } else { value_of(&field.ty, given) }
}

/// Internally always there, and led by what the pod shares with its host.
fn pod_security_context(spec_type: &ObjectType, ty: &Type, spec: &Value) -> GoValue {
    let Type::Object(context_type) = ty else { return GoValue::Plain(Value::Null) };
    let mut members: Vec<(String, GoValue)> = OF_HOST
        .iter()
        .filter_map(|name| spec_type.field(name))
        .map(|field| (go_name(&field.name), member(spec_type, field, spec)))
        .collect();
    let empty = Value::Object(serde_json::Map::new());
    let given = if spec["securityContext"].is_null() { &empty } else { &spec["securityContext"] };
    if let GoValue::Object(own) = object_value(context_type.get(), given) {
        members.extend(own);
    }
    GoValue::Object(members)
}

fn value_of(ty: &Type, value: &Value) -> GoValue {
    match (ty, value) {
        (Type::Object(object), Value::Object(_)) => object_value(object.get(), value),
        (Type::Map(inner), Value::Object(map)) => {
            GoValue::Object(map.iter().map(|(key, item)| (key.clone(), value_of(inner, item))).collect())
        }
        (Type::List(inner) | Type::WrappedList(inner), Value::Array(items)) => {
            GoValue::List(items.iter().map(|item| value_of(inner, item)).collect())
        }
        _ => GoValue::Plain(value.clone()),
    }
}

/// What Go prints for a member that is not set: nil, or the zero of its type.
fn absent(field: &Field) -> GoValue {
    if let Type::Object(object) = &field.ty
        && field.empty == Empty::Zero
    {
        return object_value(object.get(), &Value::Null);
    }
    let is_pointer = matches!(field.empty, Empty::Keep | Empty::Null) || matches!(field.ty, Type::Object(_));
    GoValue::Plain(if is_pointer { Value::Null } else { zero(&field.ty) })
}

fn is_object_meta(field: &Field) -> bool {
    field.name == "metadata"
}

/// Fields in the order of declaration.
fn ordered(ty: &ObjectType) -> Vec<&Field> {
    let short = ty.short_name();
    let order = ORDER.iter().find(|(name, _)| *name == short).map_or("", |(_, order)| order);
    let order: Vec<&str> = order.split_whitespace().collect();
    let hidden = |field: &&Field| {
        short == "PodSpec" && (OF_HOST.contains(&field.name.as_ref()) || field.name == "serviceAccount")
    };
    let mut fields: Vec<&Field> = ty.fields().iter().filter(|field| !hidden(field)).collect();
    fields.sort_by_key(|field| {
        let at = order.iter().position(|name| *name == field.name).unwrap_or(order.len());
        (at, field.tags.to_vec())
    });
    fields
}

/// The member's name in Go.
pub(super) fn go_name(json: &str) -> String {
    if let Some((_, go)) = NAMES.iter().find(|(name, _)| *name == json) {
        return (*go).to_owned();
    }
    let mut letters = json.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

impl GoValue {
    /// On one line, as an error quotes a value.
    pub(super) fn compact(&self) -> String {
        let mut text = String::new();
        self.write_compact(&mut text);
        text
    }

    fn write_compact(&self, text: &mut String) {
        match self {
            Self::Object(members) => {
                text.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    text.push_str(&quoted(name));
                    text.push(':');
                    value.write_compact(text);
                }
                text.push('}');
            }
            Self::List(items) => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    item.write_compact(text);
                }
                text.push(']');
            }
            Self::Plain(value) => text.push_str(&plain(value)),
        }
    }

    /// One member a line, one space of indentation a level.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut text = String::new();
        self.write_lines(&mut text, 0);
        text.lines().map(str::to_owned).collect()
    }

    fn write_lines(&self, text: &mut String, level: usize) {
        let inner = " ".repeat(level + 1);
        let outer = " ".repeat(level);
        match self {
            Self::Object(members) if !members.is_empty() => {
                text.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    text.push_str(&format!("{comma}\n{inner}{}: ", quoted(name)));
                    value.write_lines(text, level + 1);
                }
                text.push_str(&format!("\n{outer}}}"));
            }
            Self::List(items) if !items.is_empty() => {
                text.push('[');
                for (index, item) in items.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    text.push_str(&format!("{comma}\n{inner}"));
                    item.write_lines(text, level + 1);
                }
                text.push_str(&format!("\n{outer}]"));
            }
            Self::Object(_) => text.push_str("{}"),
            Self::List(_) => text.push_str("[]"),
            Self::Plain(value) => text.push_str(&plain(value)),
        }
    }
}

fn quoted(name: &str) -> String {
    plain(&Value::from(name))
}

/// JSON as Go writes it, with the letters that HTML gives a meaning to escaped.
fn plain(value: &Value) -> String {
    value.to_string().replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

#[cfg(test)]
mod tests;
