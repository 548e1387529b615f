//! Two bare network namespaces joined by a veth pair: what the kernel can do without us.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::machine;

/// The pair; removed when dropped.
#[derive(Debug)]
pub struct Wire {
    client: String,
    server: String,
    serving: std::cell::RefCell<Option<Child>>,
}

const SERVER_ADDRESS: &str = "192.0.2.2";

impl Wire {
    /// Makes namespaces and devices.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn lay() -> anyhow::Result<Self> {
        let name = machine::random_name("w");
        let wire = Self { client: format!("{name}-c"), server: format!("{name}-s"), serving: None.into() };
        let (client, server) = (wire.client.as_str(), wire.server.as_str());
        for args in [
            vec!["netns", "add", client],
            vec!["netns", "add", server],
            vec![
                "-n", client, "link", "add", "eth0", "mtu", "1450", "type", "veth", "peer", "name", "eth0", "mtu",
                "1450", "netns", server,
            ],
            vec!["-n", client, "address", "add", "192.0.2.1/24", "dev", "eth0"],
            vec!["-n", server, "address", "add", "192.0.2.2/24", "dev", "eth0"],
            vec!["-n", client, "link", "set", "eth0", "up"],
            vec!["-n", server, "link", "set", "eth0", "up"],
            vec!["-n", server, "link", "set", "lo", "up"],
        ] {
            machine::output(Command::new("ip").args(args))?;
        }
        Ok(wire)
    }

    /// Starts the endpoint's server at one end, on the second processor.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn serve(&self) -> anyhow::Result<()> {
        let child = self
            .inside(&self.server)?
            .args(["serve"])
            .env("CPU", "1")
            .stdout(Stdio::null())
            .spawn()
            .context("start the server")?;
        self.serving.replace(Some(child));
        machine::eventually(Duration::from_secs(5), || self.dial("rr", "0")).map(drop)
    }

    /// Runs the endpoint's client at the other end against the echo.
    ///
    /// # Errors
    /// With its standard error, when it fails.
    pub fn dial(&self, verb: &str, seconds: &str) -> anyhow::Result<String> {
        machine::output(self.inside(&self.client)?.args([verb, &format!("{SERVER_ADDRESS}:8081"), seconds]))
    }

    fn inside(&self, namespace: &str) -> anyhow::Result<Command> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{namespace}")).arg(machine::image("endpoint")?);
        Ok(command)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(mut child) = self.serving.take()
            && let Err(error) = child.kill().and_then(|()| child.wait())
        {
            eprintln!("end the server: {error}");
        }
        for namespace in [&self.client, &self.server] {
            if let Err(error) = machine::output(Command::new("ip").args(["netns", "delete", namespace])) {
                eprintln!("{error:#}");
            }
        }
    }
}
