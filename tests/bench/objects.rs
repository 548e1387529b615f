//! Many objects, made by many writers at once. From the benches.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::connection::Connection;

/// Objects are made by so many at a time.
const WRITERS: usize = 200;

/// Makes the objects of these numbers; how long it took.
pub(crate) async fn create(
    connections: &[Connection],
    path: &'static str,
    numbers: Range<usize>,
    object: impl Fn(usize) -> String + Clone + Send + 'static,
) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for (writer, connection) in connections.iter().cycle().take(WRITERS).enumerate() {
        let (connection, object, numbers) = (connection.clone(), object.clone(), numbers.clone());
        tasks.push(tokio::spawn(async move {
            for number in numbers.skip(writer).step_by(WRITERS) {
                connection.call("POST", path, object(number).into()).await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(begin.elapsed())
}
