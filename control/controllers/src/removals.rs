//! Tells controllers that an object of any kind is gone from a namespace. From the garbage collector, which watches all
//! kinds; to the quota controller.

use parking_lot::RwLock;

type Handler = Box<dyn Fn(&str) + Send + Sync>;

/// Handlers of removals; they must not block.
#[derive(Default)]
pub struct Removals {
    handlers: RwLock<Vec<Handler>>,
}

impl Removals {
    /// Adds a handler, which gets the namespace.
    pub fn on_removal(&self, handler: impl Fn(&str) + Send + Sync + 'static) {
        self.handlers.write().push(Box::new(handler));
    }

    /// Something is gone from this namespace.
    pub fn report(&self, namespace: &str) {
        for handler in self.handlers.read().iter() {
            handler(namespace);
        }
    }
}
