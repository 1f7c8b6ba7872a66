//! Files, exactly as granted.
//!
//! Each granted path is opened once, when a revision is loaded ([`roots`]). The kernel resolves all other paths beneath
//! it ([`beneath`]), so links, renames and removals by a plugin cannot lead outside. WASI supports only preopened
//! folders, not a *single* file. So each plugin also gets the virtual folder `/`: paths in it are compared with the
//! grants ([`places`]) and lead to a granted file, to a granted folder, or nowhere. All other accesses are refused and
//! recorded.
//!
//! System calls run on a limited number of threads ([`work`]), because they cannot be interrupted.

mod beneath;
mod convert;
mod listing;
mod places;
mod resolve;
mod roots;
mod space;
mod streams;
mod types;
mod work;

use std::fs::File;
use std::sync::Arc;

use outrigger_contract::Permissions;
use outrigger_contract::permission::FileAccess;
use outrigger_engine::runtime::{LogLevel, RevisionSpec, RuntimeFault};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as wasi};
use wasmtime_wasi::p2::{FsError, FsResult};

use super::Protected;
use super::scope::Scope;
use super::state::State;

pub(super) use listing::LISTING_BYTES;
pub(super) use work::OpenFile;

use beneath::OpenError;
use places::Place;
use roots::Roots;
use work::{Handle, Work};

/// The maximum path length of the kernel, in bytes.
const PATH_AT_MOST: usize = 4_096;

/// The open files and limits that all instances of a revision share.
#[derive(Debug)]
pub(super) struct GrantedFiles {
    roots: Arc<Roots>,
    work: Arc<Work>,
    /// An empty folder that stands for all virtual folders.
    nothing: Arc<File>,
}

impl GrantedFiles {
    /// Opens the granted paths of a revision. Blocks.
    pub(super) fn open(spec: &RevisionSpec, nothing: Arc<File>, protected: &[Protected]) -> Result<Self, RuntimeFault> {
        Ok(Self { roots: Arc::new(Roots::open(spec, protected)?), work: Arc::new(Work::new()), nothing })
    }
}

impl GrantedFiles {
    /// A permit for one more open file or socket; none at the limit.
    pub(super) fn open_file(&self) -> Option<OpenFile> {
        self.work.open_file()
    }

    /// Runs a system call.
    async fn run<T: Send + 'static>(&self, operation: impl FnOnce() -> T + Send + 'static) -> FsResult<T> {
        self.work.run(operation).await.map_err(FsError::trap)
    }
}

/// Resolves granted paths, and pins the grants to them. Blocks.
pub(super) fn pin(
    permissions: &Permissions,
    plugin_writable: &[String],
    protected: &[Protected],
) -> Result<Permissions, RuntimeFault> {
    Ok(resolve::pin(permissions, resolve::Surroundings { protected, plugin_writable })?)
}

/// The granted paths, without folders that a plugin has replaced. Blocks.
pub(super) fn still_there(granted: &Permissions, plugin_writable: &[String]) -> Permissions {
    roots::still_there(granted, plugin_writable)
}

/// The files of an instance, during one host call.
pub(super) struct Files<'a> {
    table: &'a mut ResourceTable,
    granted: &'a GrantedFiles,
    scope: &'a Scope,
    /// Open directory listings.
    listings: &'a mut usize,
}

/// The target of a plugin's handle. Replaces the descriptor of `wasmtime-wasi` in the table.
#[derive(Debug)]
enum Node {
    /// A virtual folder, whose contents follow from the grants. By its path, which is empty for the root.
    Virtual(String),
    Folder(Folder),
    File(OpenedFile),
}

#[derive(Clone, Debug)]
struct Folder {
    file: Arc<File>,
    access: FileAccess,
    /// The index of the grant through which it was reached.
    root: usize,
    /// None for a granted folder itself, which stays open anyway.
    _open: Option<Arc<OpenFile>>,
    is_root: bool,
}

impl Folder {
    fn root(file: Arc<File>, access: FileAccess, root: usize) -> Self {
        Self { file, access, root, _open: None, is_root: true }
    }
}

#[derive(Debug)]
struct OpenedFile {
    file: Arc<Handle>,
    access: FileAccess,
    read: bool,
    write: bool,
}

struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = Files<'a>;
}

/// Offers them in the place of those of `wasmtime-wasi`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasi::add_to_linker::<State, HasFiles>(linker, |state| files(state.called("wasi:filesystem/types")))?;
    preopens::add_to_linker::<State, HasFiles>(linker, |state| files(state.called("wasi:filesystem/preopens")))
}

fn files(state: &mut State) -> Files<'_> {
    Files { table: &mut state.table, granted: &state.grants.files, scope: &state.scope, listings: &mut state.listings }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let mut directories = Vec::new();
        let granted = self.granted;
        if !granted.roots.folders.iter().any(|root| root.path.is_empty()) {
            directories.push((self.push(Node::Virtual(String::new()))?, "/".to_owned()));
        }
        for (index, root) in granted.roots.folders.iter().enumerate() {
            let shown = if root.path.is_empty() { "/" } else { &root.path };
            match root.opened() {
                Some(file) => {
                    let folder = Folder::root(file, root.access, index);
                    directories.push((self.push(Node::Folder(folder))?, shown.to_owned()));
                }
                // It is opened when a path first leads to it.
                None => {
                    let message = format!("the granted folder {shown} could not be opened when the plugin was loaded");
                    self.scope.log(LogLevel::Warn, message, Vec::new());
                }
            }
        }
        Ok(directories)
    }
}

/// Where a path leads.
enum Located {
    /// To a folder that exists, and a path below it.
    Real { folder: Folder, path: String, shown: String },
    /// A single granted file, by index.
    File(usize),
    /// To a folder that is only there because something in it was granted.
    Virtual(String),
}

impl Files<'_> {
    fn push(&mut self, node: Node) -> wasmtime::Result<Resource<Descriptor>> {
        Ok(Resource::new_own(self.table.push(node)?.rep()))
    }

    fn node(&self, handle: &Resource<Descriptor>) -> wasmtime::Result<&Node> {
        Ok(self.table.get(&Resource::<Node>::new_borrow(handle.rep()))?)
    }

    /// A granted folder, usually already open.
    async fn root(&mut self, index: usize) -> FsResult<Folder> {
        let granted = self.granted;
        let root = &granted.roots.folders[index];
        let file = match root.opened() {
            Some(file) => file,
            None => {
                let roots = Arc::clone(&granted.roots);
                granted.run(move || roots.folders[index].open_folder()).await??
            }
        };
        Ok(Folder::root(file, root.access, index))
    }

    /// Resolves a path from a folder. `doing` describes the operation for a refusal: "open the file".
    async fn locate(&mut self, from: &Resource<Descriptor>, path: String, doing: &str) -> FsResult<Located> {
        let granted = self.granted;
        if path.len() > PATH_AT_MOST {
            return Err(wasi::ErrorCode::NameTooLong.into());
        }
        let base = match self.node(from).map_err(FsError::trap)? {
            Node::Virtual(base) => base,
            Node::File(_) => return Err(wasi::ErrorCode::NotDirectory.into()),
            Node::Folder(folder) => {
                let base = if folder.is_root { &self.granted.roots.folders[folder.root].path } else { "…" };
                let shown = format!("{base}/{path}");
                return Ok(Located::Real { folder: folder.clone(), path, shown });
            }
        };
        let absolute = places::absolute(base, &path);
        let roots = &granted.roots;
        match places::find(&roots.grants, &absolute) {
            Place::Below { folder, path, .. } => {
                let root = roots.folders.iter().position(|root| root.path == folder);
                let folder = self.root(root.ok_or(wasi::ErrorCode::Access)?).await?;
                Ok(Located::Real { folder, path: path.to_owned(), shown: absolute.clone() })
            }
            Place::File => {
                let file = roots.files.iter().position(|root| root.path == absolute);
                Ok(Located::File(file.ok_or(wasi::ErrorCode::Access)?))
            }
            Place::Above => Ok(Located::Virtual(absolute)),
            Place::Nowhere => {
                self.refuse(doing, &absolute);
                Err(wasi::ErrorCode::Access.into())
            }
        }
    }

    fn refuse(&self, doing: &str, path: &str) {
        let path = if path.is_empty() { "/" } else { path };
        self.scope.refuse(format!("{doing} {path}"), places::remedy(path, doing));
    }

    /// Refuses an operation that a virtual folder does not support.
    fn refuse_at(&self, doing: &str, located: &Located) -> FsError {
        match located {
            Located::Real { shown, .. } => self.refuse(doing, shown),
            Located::File(file) => self.refuse(doing, &self.granted.roots.files[*file].path),
            Located::Virtual(path) => self.refuse(doing, path),
        }
        wasi::ErrorCode::Access.into()
    }

    /// Records an operation that was not permitted.
    fn conclude<T>(&self, result: FsResult<T>, doing: &str, shown: &str) -> FsResult<T> {
        if let Err(error) = &result
            && let Some(wasi::ErrorCode::NotPermitted | wasi::ErrorCode::ReadOnly) = error.downcast_ref()
        {
            self.refuse(doing, shown);
        }
        result
    }

    /// Converts it to a WASI error. Refuses everything except files and folders.
    fn open_error(&self, error: OpenError, shown: &str) -> FsError {
        match error {
            OpenError::Io(error) => error.into(),
            OpenError::Special(kind) => {
                self.scope.refuse(format!("open the {kind} {shown}; only files and folders can be opened"), None);
                wasi::ErrorCode::Unsupported.into()
            }
        }
    }

    /// A permit for one more open file.
    fn room(&self) -> FsResult<OpenFile> {
        self.granted.open_file().ok_or_else(|| {
            self.scope.log(LogLevel::Warn, "too many open files".to_owned(), Vec::new());
            wasi::ErrorCode::InsufficientMemory.into()
        })
    }
}
