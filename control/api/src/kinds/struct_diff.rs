//! What changed in a field that must stay, as upstream shows it: its own struct as indented JSON, compared line by line; pure.

use serde_json::Value;

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// A struct as Go prints it: named members in order, one space of indentation a level.
pub(super) fn lines(members: &[(&str, Value)]) -> Vec<String> {
    let mut lines = vec!["{".to_owned()];
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index + 1 < members.len() { "," } else { "" };
        let mut nested = value_lines(value, 1);
        if let Some(first) = nested.first_mut() {
            *first = format!(" \"{name}\": {first}");
        }
        if let Some(last) = nested.last_mut() {
            last.push_str(comma);
        }
        lines.append(&mut nested);
    }
    lines.push("}".to_owned());
    lines
}

/// The lines of a value whose first is not indented.
fn value_lines(value: &Value, level: usize) -> Vec<String> {
    let pad = " ".repeat(level);
    let (open, close, items): (&str, &str, Vec<(String, &Value)>) = match value {
        Value::Object(map) if !map.is_empty() => {
            ("{", "}", map.iter().map(|(key, item)| (format!("\"{key}\": "), item)).collect())
        }
        Value::Array(list) if !list.is_empty() => ("[", "]", list.iter().map(|item| (String::new(), item)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return vec![value.to_string()];
        }
    };
    let mut lines = vec![open.to_owned()];
    let count = items.len();
    for (index, (key, item)) in items.into_iter().enumerate() {
        let mut nested = value_lines(item, level + 1);
        if let Some(first) = nested.first_mut() {
            *first = format!("{pad} {key}{first}");
        }
        if index + 1 < count
            && let Some(last) = nested.last_mut()
        {
            last.push(',');
        }
        lines.append(&mut nested);
    }
    lines.push(format!("{pad}{close}"));
    lines
}

/// The one run of lines that differs, with context, in unified form.
pub(super) fn unified(old: &[String], new: &[String]) -> String {
    let same = |pair: &(&String, &String)| pair.0 == pair.1;
    let head = old.iter().zip(new).take_while(same).count();
    let room = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(room).take_while(same).count();
    if head == old.len() && head == new.len() {
        return String::new();
    }
    let start = head.saturating_sub(CONTEXT);
    let after = CONTEXT.min(tail);
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let mut text =
        format!("@@ -{},{} +{},{} @@\n", start + 1, old_end + after - start, start + 1, new_end + after - start);
    let mut write = |mark: char, lines: &[String]| {
        for line in lines {
            text.push(mark);
            text.push_str(line);
            text.push('\n');
        }
    };
    write(' ', old.get(start..head).unwrap_or_default());
    write('-', old.get(head..old_end).unwrap_or_default());
    write('+', new.get(head..new_end).unwrap_or_default());
    write(' ', old.get(old_end..old_end + after).unwrap_or_default());
    text
}
