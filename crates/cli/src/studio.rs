//! `anicrafter studio`: the page in the browser and the API behind it.

use anyhow::{Context, Result};
use avatar_render::RendererChoice;
use server::{Options, Server};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Opens the studio on a library folder.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of avatars, pictures, videos, motions and results; made where there is none.
    #[arg(long, default_value = "anicrafter-library")]
    library: PathBuf,
    /// The port; 0 for a free one.
    #[arg(long, default_value_t = server::PORT)]
    port: u16,
    /// The address to listen on. Anything but this machine's own asks callers for a token, which is shown once.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// A further name by which the studio may be asked for, behind a proxy, say. May be given several times.
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Make a new token, and forget the one before.
    #[arg(long)]
    new_token: bool,
    /// A folder outside of the library whose weights jobs may name. May be given several times.
    #[arg(long = "weights")]
    weights: Vec<PathBuf>,
    /// Where models run for jobs that don't say: `cpu`, `cuda:N`, `metal`.
    #[arg(long)]
    device: Option<String>,
    /// Memory for a transformer's weights in GiB, for jobs that don't say.
    #[arg(long)]
    memory: Option<f64>,
    /// Memory in GiB for models that stay loaded from job to job; they go where memory is short, and two minutes after the last
    /// job. 0 for none.
    #[arg(long, default_value_t = 4.0)]
    keep: f64,
    /// What renders avatars.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
    /// Don't open the page in a browser.
    #[arg(long)]
    no_open: bool,
}

const EXAMPLES: &str = "\
Examples:
  anicrafter studio --library my-videos
  anicrafter studio --library my-videos --weights /models --memory 12
  anicrafter studio --library my-videos --listen 0.0.0.0 --no-open

The queue is in the library: close the page or stop the program, and jobs go on when it is started again.";

pub(crate) fn run(args: Args, threads: Option<usize>) -> Result<()> {
    let mut session = crate::animate::session(args.renderer).keep_gib(args.keep);
    if let Some(device) = args.device {
        session = session.device(device);
    }
    if let Some(gib) = args.memory {
        session = session.memory_gib(gib);
    }
    if let Some(threads) = threads {
        session = session.threads(threads);
    }
    let options = Options {
        listen: SocketAddr::new(args.listen, args.port),
        hosts: args.hosts,
        weights: args.weights,
        new_token: args.new_token,
        session,
        ..Options::new(args.library)
    };
    let no_open = args.no_open;
    server::run_blocking(options, |server| ready(server, no_open)).context("the studio")
}

/// Prints a line; who started the program may have closed its output meanwhile.
macro_rules! say {
    ($($what:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}

fn ready(server: &Server, no_open: bool) {
    let url = server.url();
    say!("studio  {url}");
    say!("API     {url}api");
    let mut page = url;
    if let Some(token) = server.new_token() {
        say!("token   {token}");
        say!("        It is shown this once and stored as a hash: keep it. --new-token makes another one.");
        page = format!("{page}#token={token}");
    } else if server.needs_token() {
        say!(
            "        Callers need the token that was shown when it was made; --new-token makes another one."
        );
    }
    if server.needs_token() {
        say!(
            "note    Nothing is encrypted on the way: put a proxy with TLS in front where others share the network."
        );
    }
    say!("Ctrl-C ends it; jobs go on at the next start.");
    if !no_open && let Err(error) = open::that_detached(&page) {
        say!("note    no browser could be opened ({error}): open the address yourself");
    }
}
