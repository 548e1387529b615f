use super::*;

#[test]
fn a_prefix_ends_before_the_next_sibling() {
    let range = KeyRange::prefix("/registry/pods/");
    assert_eq!(range.end.as_deref(), Some(&b"/registry/pods0"[..]));
    assert!(range.contains(b"/registry/pods/"));
    assert!(range.contains(b"/registry/pods/a/b\xff\xff"));
    assert!(!range.contains(b"/registry/pods"));
    assert!(!range.contains(b"/registry/pods0"));
}

#[test]
fn a_prefix_of_highest_bytes_is_open() {
    assert_eq!(prefix_end(b"\xff\xff"), None);
    assert_eq!(prefix_end(b"a\xff").as_deref(), Some(&b"b"[..]));
    assert!(KeyRange::prefix(&b"\xff"[..]).contains(b"\xff\xff\xff"));
}

#[test]
fn a_single_key_is_alone_in_its_range() {
    let range = KeyRange::single("/a");
    assert!(range.is_single());
    assert!(range.contains(b"/a"));
    assert!(!range.contains(b"/a\0"));
    assert!(!KeyRange::prefix("/a").is_single());
}
