use super::lines_unified;

fn lines(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn one_change_stands_between_three_lines_of_context() {
    let (old, new) = (lines("a b c d e f g h i"), lines("a b c d X Y f g h i"));
    assert_eq!(lines_unified(&old, &new), "@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+X\n+Y\n f\n g\n h\n");
}

#[test]
fn distant_changes_are_apart_and_near_ones_together() {
    let old = lines("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
    let near = lines("1 2 3 X 5 6 7 8 9 10 Y 12 13 14 15 16 17 18 19 20");
    assert_eq!(lines_unified(&old, &near).matches("@@ -").count(), 1);
    let far = lines("1 2 X 4 5 6 7 8 9 10 11 12 13 14 15 16 17 Y 19 20");
    let text = lines_unified(&old, &far);
    assert!(text.starts_with("@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+X\n"), "{text}");
    assert!(text.contains("@@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18\n+Y\n 19\n 20\n"), "{text}");
}

#[test]
fn equal_sides_differ_in_nothing() {
    assert_eq!(lines_unified(&lines("a b"), &lines("a b")), "");
}

#[test]
fn lines_that_occur_often_start_no_match_but_lengthen_one() {
    let many = vec!["same".to_owned(); 250];
    let mut new = many.clone();
    new.push("end".to_owned());
    assert_eq!(lines_unified(&many, &new).lines().filter(|line| *line == "+end").count(), 1);
}
