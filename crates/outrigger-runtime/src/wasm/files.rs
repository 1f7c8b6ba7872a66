//! Files, exactly as granted.
//!
//! A granted folder is a preopened one, which `wasmtime-wasi` guards with the care that links and `..` need. What it
//! cannot express is a *single* file: it grants whole folders only. So each plugin also gets the folder `/`, which does
//! not exist: paths in it are compared with the grants, and lead to a granted file, to a granted folder, or
//! nowhere. Whatever else a plugin reaches for is refused and noted.
//!
//! [`Files`] stands in front of the implementation of `wasmtime-wasi` and passes everything on to it that does not
//! concern this folder.

mod places;
mod types;

use std::sync::Arc;

use outrigger_contract::permission::FileAccess;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types as wasi};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::scope::Scope;
use super::state::{Grants, State};

use places::Place;

/// The files of an instance, during one host call.
pub(super) struct Files<'a> {
    wasi: WasiFilesystemCtxView<'a>,
    grants: &'a Grants,
    scope: &'a Scope,
    folders: &'a mut VirtualFolders,
}

/// The folders that were opened by path: those that do not exist, and those that are preopened. Other descriptors
/// come from these, and `wasmtime-wasi` keeps them inside.
#[derive(Debug, Default)]
pub(super) struct VirtualFolders {
    known: Vec<Folder>,
}

#[derive(Debug)]
struct Folder {
    file: Arc<std::fs::File>,
    /// As the plugin sees it, without `/` at its end; the root is empty.
    path: String,
    /// It does not exist; what is in it follows from the grants.
    virtual_only: bool,
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
    Files {
        wasi: WasiFilesystemCtxView { ctx: &mut state.filesystem, table: &mut state.table },
        grants: &state.grants,
        scope: &state.scope,
        folders: &mut state.folders,
    }
}

impl preopens::Host for Files<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let mut directories = Vec::new();
        let folders = places::granted_folders(&self.grants.permissions.files);
        if !folders.iter().any(|(path, _)| path.is_empty()) {
            directories.push((self.open_virtual(String::new())?, "/".to_owned()));
        }
        for (path, access) in folders {
            let shown = if path.is_empty() { "/" } else { path };
            match open_folder(shown, access) {
                Ok(folder) => {
                    self.folders.known.push(Folder {
                        file: Arc::clone(&folder.dir),
                        path: path.to_owned(),
                        virtual_only: false,
                    });
                    directories.push((self.wasi.table.push(Descriptor::Dir(folder))?, shown.to_owned()));
                }
                Err(error) => self.scope.log(
                    outrigger_engine::runtime::LogLevel::Warn,
                    format!("the granted folder {shown} cannot be opened: {error}"),
                    Vec::new(),
                ),
            }
        }
        Ok(directories)
    }
}

/// Where a path leads.
enum Located {
    /// To a folder that exists, and a path below it.
    Real { folder: Resource<Descriptor>, path: String, shown: String, borrowed: bool },
    /// To a single file that was granted.
    File(String),
    /// To a folder that is only there because something in it was granted.
    Virtual(String),
}

impl Files<'_> {
    fn known(&self, folder: &Resource<Descriptor>) -> wasmtime::Result<Option<&Folder>> {
        let Descriptor::Dir(dir) = self.wasi.table.get(folder)? else { return Ok(None) };
        Ok(self.folders.known.iter().find(|known| Arc::ptr_eq(&known.file, &dir.dir)))
    }

    /// Follows a path from a folder. `doing` says what for, in case it is refused: "open the file".
    async fn locate(&mut self, from: &Resource<Descriptor>, path: String, doing: &str) -> FsResult<Located> {
        let known = self.known(from).map_err(FsError::trap)?;
        let (base, virtual_only) = match known {
            Some(folder) => (folder.path.as_str(), folder.virtual_only),
            None => ("…", false),
        };
        if !virtual_only {
            let shown = format!("{base}/{path}");
            return Ok(Located::Real { folder: Resource::new_borrow(from.rep()), path, shown, borrowed: true });
        }
        let absolute = places::absolute(base, &path);
        match places::find(&self.grants.permissions.files, &absolute) {
            Place::Below { folder, path, access } => {
                let shown = if folder.is_empty() { "/".to_owned() } else { folder.to_owned() };
                let opened = tokio::task::spawn_blocking(move || open_folder(&shown, access));
                let dir = opened.await.map_err(FsError::trap)?.map_err(FsError::from)?;
                let folder = self.wasi.table.push(Descriptor::Dir(dir))?;
                Ok(Located::Real { folder, path: path.to_owned(), shown: absolute.clone(), borrowed: false })
            }
            Place::File => Ok(Located::File(absolute)),
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

    /// Gives back a folder that was opened for one operation, and notes when the operation was not permitted.
    fn conclude<T>(
        &mut self,
        folder: Resource<Descriptor>,
        borrowed: bool,
        result: FsResult<T>,
        doing: &str,
        shown: &str,
    ) -> FsResult<T> {
        if !borrowed {
            self.wasi.table.delete(Resource::<Descriptor>::new_own(folder.rep()))?;
        }
        if let Err(error) = &result
            && let Some(wasi::ErrorCode::NotPermitted | wasi::ErrorCode::ReadOnly) = error.downcast_ref()
        {
            self.refuse(doing, shown);
        }
        result
    }

    fn open_virtual(&mut self, path: String) -> wasmtime::Result<Resource<Descriptor>> {
        let dir = Dir::new(self.grants.nothing.try_clone()?, FsPerms::ReadOnly, OpenMode::READ, false);
        self.folders.known.push(Folder { file: Arc::clone(&dir.dir), path, virtual_only: true });
        Ok(self.wasi.table.push(Descriptor::Dir(dir))?)
    }

    /// Opens a single file that was granted, following links of the host: `/etc/os-release` is one.
    async fn open_file(&mut self, path: String) -> FsResult<Resource<Descriptor>> {
        let opened = tokio::task::spawn_blocking(move || {
            let metadata = std::fs::metadata(&path)?;
            if metadata.is_dir() {
                return Err(std::io::ErrorKind::IsADirectory.into());
            }
            if !metadata.is_file() && !path.starts_with("/dev/") {
                return Err(std::io::ErrorKind::Unsupported.into());
            }
            std::fs::File::open(&path)
        });
        let file = opened.await.map_err(FsError::trap)??;
        let file = File::new(file, FsPerms::ReadOnly, OpenMode::READ, false);
        Ok(self.wasi.table.push(Descriptor::File(file))?)
    }
}

fn open_folder(path: &str, access: FileAccess) -> std::io::Result<Dir> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    let (permissions, mode) = match access {
        FileAccess::Read => (FsPerms::ReadOnly, OpenMode::READ),
        FileAccess::Write => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
    };
    Ok(Dir::new(file, permissions, mode, false))
}
