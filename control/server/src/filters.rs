//! What every request passes before a verb runs: [`authenticate`] → impersonation → [`limit`] → [`authorize`] → (verb) → [`audit`].

pub mod audit;
pub mod authenticate;
pub mod authorize;
pub mod limit;
