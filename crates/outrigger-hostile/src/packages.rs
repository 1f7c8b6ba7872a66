//! Hostile packages, uploaded with a key that may install: archives, manifests, and components that are expensive to
//! read or compile. Each is refused with a code, or works, within bounds on time, memory and disk.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use zip::write::SimpleFileOptions;

use crate::client::Client;
use crate::guests::honest;
use crate::measure::mib;
use crate::server::Server;
use crate::table::Table;
use crate::{Options, guests};

const ZIP: &str = "application/zip";
const GZIP: &str = "application/gzip";

/// A package and its bounds.
struct Hostile {
    name: &'static str,
    media: &'static str,
    archive: Bytes,
    /// Whether it must be refused; otherwise it may be refused.
    refused: bool,
    bound: Bound,
}

/// Resident memory and new disk in MiB, time in seconds.
struct Bound {
    memory: u64,
    disk: u64,
    seconds: u64,
}

pub async fn run(options: &Options, place: &Path, table: &mut Table) -> Result<()> {
    let mut server = Server::start(&options.program, &place.join("server"), &[])?;
    let developer = server.client("maker", &["developer"], None).await?;
    let folder = server.package("honest", "1.0.0", &honest::component(), honest::MANIFEST)?;
    server.install_folder(&folder)?;
    for (name, make) in all(options) {
        if !name.contains(&options.only) {
            continue;
        }
        let hostile = make()?;
        server.reset_peak()?;
        let (resident, disk) = (server.resident()?, server.disk());
        let started = Instant::now();
        // An administrator is served in the meantime.
        let (outcome, waited) = tokio::join!(install(&developer, &hostile), others(&server));
        let (code, length) = outcome?;
        server.alive()?;
        let took = started.elapsed();
        let Hostile { name, refused, bound, .. } = hostile;
        let coded = !["no code", "no answer", "internal"].contains(&code.as_str());
        let right = coded && (!refused || code != "ok");
        table.holds(format!("package {name}"), if refused { "refused with a code" } else { "a code" }, code, right);
        table.at_most(format!("package {name}: time"), took.as_secs(), bound.seconds, "s");
        table.at_most(format!("package {name}: answer"), length.div_ceil(1024), 64, "KiB");
        table.at_most(
            format!("package {name}: memory"),
            mib(server.peak()?.saturating_sub(resident)),
            bound.memory,
            "MiB",
        );
        table.at_most(format!("package {name}: disk"), mib(server.disk().saturating_sub(disk)), bound.disk, "MiB");
        table.at_most(format!("package {name}: others waited"), waited?.as_millis() as u64, 1_500, "ms");
    }
    Ok(())
}

/// Uploads it, installs it, and calls its functions.
async fn install(client: &Client, hostile: &Hostile) -> Result<(String, u64)> {
    let sent = client.upload(hostile.media, hostile.archive.clone()).await?;
    let mut longest = sent.body.len() as u64;
    if sent.status >= 300 {
        return Ok((sent.code(), longest));
    }
    let package = sent.json()["package"].clone();
    for path in ["plugins/inspect", "plugins/install"] {
        let answer = client.post(path, &json!({"source": {"package": package}})).await?;
        longest = longest.max(answer.body.len() as u64);
        if answer.status >= 300 {
            return Ok((answer.code(), longest));
        }
    }
    let name = hostile.name;
    let called = client.call(&format!("{name}.run"), "{}".into(), None).await?;
    for path in [format!("functions?plugin={name}"), format!("functions/{name}.run"), format!("plugins/{name}")] {
        longest = longest.max(client.get(&path).await?.body.len() as u64);
    }
    Ok((called.code(), longest))
}

/// The longest response time for another client in the first second.
async fn others(server: &Server) -> Result<Duration> {
    let administrator = server.administrator()?;
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    while started.elapsed() < Duration::from_secs(1) {
        let call = administrator.call("honest.nothing", "{}".into(), None).await?;
        let list = administrator.get("plugins?limit=10").await?;
        longest = longest.max(call.took).max(list.took);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(longest)
}

type Make = Box<dyn Fn() -> Result<Hostile>>;

fn all(options: &Options) -> Vec<(&'static str, Make)> {
    let size = if options.full { 1 } else { 4 };
    let mut all: Vec<(&'static str, Make)> = Vec::new();
    let mut add = |name, make: Make| all.push((name, make));
    // Archives.
    let archive = |memory, disk, seconds| Bound { memory, disk, seconds };
    add("zip-bomb", Box::new(move || zipped("zip-bomb", &[("plugin.wasm", vec![0; 200 << 20])], archive(96, 4, 6))));
    add("gzip-bomb", Box::new(move || tarred("gzip-bomb", &[("plugin.wasm", vec![0; 300 << 20])], archive(96, 4, 6))));
    add(
        "tar-entries",
        Box::new(move || {
            let names: Vec<_> = (0..200_000).map(|number| format!("{number}")).collect();
            let files: Vec<_> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
            tarred("tar-entries", &files, archive(96, 8, 8))
        }),
    );
    add(
        "tar-names",
        Box::new(move || {
            let names: Vec<_> = (0..500).map(|number| format!("{number}/{}", "n/".repeat(2_000))).collect();
            let files: Vec<_> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
            tarred("tar-names", &files, archive(96, 8, 8))
        }),
    );
    add(
        "zip-outside",
        Box::new(move || {
            zipped(
                "zip-outside",
                &[("../../outside", b"x".to_vec()), ("/etc/outside", b"x".to_vec())],
                archive(48, 2, 4),
            )
        }),
    );
    add(
        "zip-escapes",
        Box::new(move || zipped("zip-escapes", &[("\u{1b}[2J\u{202e}\n", b"x".to_vec())], archive(48, 2, 4))),
    );
    add(
        "garbage",
        Box::new(move || {
            Ok(Hostile {
                name: "garbage",
                media: ZIP,
                archive: vec![0x50; 8 << 20].into(),
                refused: true,
                bound: archive(48, 2, 4),
            })
        }),
    );
    // Manifests.
    add("manifest-long", Box::new(move || manifest("manifest-long", &"# a comment\n".repeat(2 << 20))));
    add(
        "manifest-deep",
        Box::new(move || manifest("manifest-deep", &format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000)))),
    );
    add("manifest-dotted", Box::new(move || manifest("manifest-dotted", &format!("{}x = 1", "a.".repeat(100_000)))));
    add(
        "manifest-keys",
        Box::new(move || {
            let keys: String = (0..40_000).fold(String::new(), |mut text, number| {
                writeln!(text, "[configuration.k{number}]\ntype = \"string\"\npattern = \"^(a+)+$\"").expect("a text");
                text
            });
            manifest("manifest-keys", &keys)
        }),
    );
    add(
        "manifest-escapes",
        Box::new(move || manifest("manifest-escapes", "title = \"\\u001b[2J\\u202e\"\n\"\\u001b[31m\" = 1")),
    );
    // Components.
    let component = |seconds| Bound { memory: 320, disk: 24, seconds };
    add("code-large", Box::new(move || module("code-large", &straight(200_000 / size), component(20))));
    add("code-loops", Box::new(move || module("code-loops", &loops(20_000 / size), component(20))));
    add("code-locals", Box::new(move || module("code-locals", &locals(40_000 / size), component(20))));
    add("code-functions", Box::new(move || module("code-functions", &functions(60_000 / size), component(20))));
    add("code-table", Box::new(move || module("code-table", &jumps(60_000 / size), component(20))));
    add("types-doubled", Box::new(move || doubled("types-doubled", 16, component(10))));
    add("types-doubled-more", Box::new(move || doubled("types-doubled-more", 40, component(10))));
    add("types-deep", Box::new(move || deep_type("types-deep", 2_000, component(10))));
    add("types-names", Box::new(move || names("types-names", component(10))));
    // Signatures.
    add("signature-long", Box::new(move || signed("signature-long", vec![b'['; 32 << 20])));
    add(
        "signature-wrong",
        Box::new(move || {
            signed("signature-wrong", b"{\"payload\":\"AA==\",\"signatures\":[{\"sig\":\"AA==\"}]}".to_vec())
        }),
    );
    all
}

fn zipped(name: &'static str, files: &[(&str, Vec<u8>)], bound: Bound) -> Result<Hostile> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        zip.start_file(*path, SimpleFileOptions::default())?;
        zip.write_all(content)?;
    }
    let archive = zip.finish()?.into_inner().into();
    Ok(Hostile { name, media: ZIP, archive, refused: true, bound })
}

fn tarred(name: &'static str, files: &[(&str, Vec<u8>)], bound: Bound) -> Result<Hostile> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, content.as_slice())?;
    }
    let archive = tar.into_inner()?.finish()?.into();
    Ok(Hostile { name, media: GZIP, archive, refused: true, bound })
}

/// A package with additions to its manifest.
fn manifest(name: &'static str, more: &str) -> Result<Hostile> {
    let component = honest::component().to_vec();
    let files = [("plugin.toml", plugin_toml(name, more).into_bytes()), ("plugin.wasm", component)];
    zipped(name, &files, Bound { memory: 128, disk: 8, seconds: 5 })
}

fn plugin_toml(name: &str, more: &str) -> String {
    format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\ntitle = \"Hostile\"\ndescription = \"One of the hostile suite.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"plugin.wasm\"\n{more}\n"
    )
}

/// A package with a component.
fn package(name: &'static str, component: Vec<u8>, bound: Bound) -> Result<Hostile> {
    let files = [("plugin.toml", plugin_toml(name, "").into_bytes()), ("plugin.wasm", component)];
    Ok(Hostile { refused: false, ..zipped(name, &files, bound)? })
}

/// A component with one core module that has a function `run`.
fn module(name: &'static str, core: &str, bound: Bound) -> Result<Hostile> {
    let text = format!(
        "(component (core module $m {core}) (core instance $i (instantiate $m))
           (func $run (canon lift (core func $i \"run\"))) (export \"run\" (func $run)))"
    );
    package(name, wat::parse_str(text)?, bound)
}

/// One very long function of straight code.
fn straight(count: usize) -> String {
    let step = "(local.set 0 (i32.add (i32.mul (local.get 0) (local.get 1)) (i32.rotl (local.get 1) (local.get 0)))) (local.set 1 (i32.xor (local.get 0) (local.get 1)))";
    format!("(func (export \"run\") (local i32 i32) {})", step.repeat(count))
}

/// Nested and consecutive loops with many live values.
fn loops(count: usize) -> String {
    let body = "(loop (loop (local.set 0 (i32.add (local.get 0) (local.get 7))) (local.set 7 (i32.sub (local.get 0) (local.get 3))) (br_if 0 (local.get 1)) (br_if 1 (local.get 7))))";
    format!("(func (export \"run\") (local i32 i32 i32 i32 i32 i32 i32 i32) {})", body.repeat(count))
}

/// The maximum number of locals, all of them live from the first to the last line.
fn locals(count: usize) -> String {
    let mut text = format!("(func (export \"run\") (local {})", "i32 ".repeat(count));
    for number in 0..count {
        write!(
            text,
            "(local.set {number} (i32.add (local.get {}) (i32.const {number})))",
            (number + count / 2) % count
        )
        .expect("a text");
    }
    let mut sum = String::new();
    for number in 0..count {
        write!(sum, "(local.set 0 (i32.xor (local.get 0) (local.get {number})))").expect("a text");
    }
    write!(text, "(loop {sum} (br_if 0 (local.get 0))))").expect("a text");
    text
}

fn functions(count: usize) -> String {
    let mut text = "(func (export \"run\"))".to_owned();
    for number in 0..count {
        write!(text, "(func (result i32) (i32.mul (i32.const {number}) (i32.const 3)))").expect("a text");
    }
    text
}

fn jumps(count: usize) -> String {
    let table = "0 1 ".repeat(count / 2);
    format!("(func (export \"run\") (local i32) (block (block (br_table {table} 0 (local.get 0)))) )")
}

/// A type whose number of members doubles with each step.
fn doubled(name: &'static str, steps: usize, bound: Bound) -> Result<Hostile> {
    let mut types = "(type $t0 (tuple u8 u8))".to_owned();
    for step in 1..=steps {
        write!(types, "(type $t{step} (list $t{p})) (type $u{step} (tuple $t{step} $t{step}))", p = step - 1)
            .expect("a text");
        types = types.replace(
            &format!("(list $t{}", step - 1),
            &format!("(list ${}{}", if step == 1 { "t" } else { "u" }, step - 1),
        );
    }
    typed(name, &types, &format!("$u{steps}"), bound)
}

fn deep_type(name: &'static str, depth: usize, bound: Bound) -> Result<Hostile> {
    let mut types = "(type $t0 (list u8))".to_owned();
    for step in 1..=depth {
        write!(types, "(type $t{step} (list $t{}))", step - 1).expect("a text");
    }
    typed(name, &types, &format!("$t{depth}"), bound)
}

/// A component with one function that takes a value of a type.
fn typed(name: &'static str, types: &str, ty: &str, bound: Bound) -> Result<Hostile> {
    let text = format!(
        "(component {types}
           (core module $m (memory (export \"memory\") 1)
             (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 16))
             (func (export \"run\") (param i32 i32 i32 i32)))
           (core instance $i (instantiate $m))
           (type $f (func (param \"value\" {ty})))
           (func $run (type $f) (canon lift (core func $i \"run\") (memory (core memory $i \"memory\")) (realloc (core func $i \"realloc\"))))
           (export \"run\" (func $run)))"
    );
    package(name, wat::parse_str(text)?, bound)
}

/// Thousands of exports with names of the maximum length.
fn names(name: &'static str, bound: Bound) -> Result<Hostile> {
    let mut text = "(component (core module $m (func (export \"run\"))) (core instance $i (instantiate $m)) (func $run (canon lift (core func $i \"run\"))) (export \"run\" (func $run))".to_owned();
    for number in 0..5_000 {
        write!(text, "(export \"n{number}-{}\" (func $run))", "x".repeat(1_000)).expect("a text");
    }
    text.push(')');
    package(name, wat::parse_str(text)?, bound)
}

fn signed(name: &'static str, signature: Vec<u8>) -> Result<Hostile> {
    let component = guests::honest::component().to_vec();
    let files = [
        ("plugin.toml", plugin_toml(name, "").into_bytes()),
        ("plugin.wasm", component),
        ("signature.json", signature),
    ];
    zipped(name, &files, Bound { memory: 128, disk: 8, seconds: 5 })
}
