//! The interface `wasi:filesystem/types`: paths are mapped to grants first, then passed to the kernel.

use std::sync::Arc;

use outrigger_contract::permission::FileAccess;
use rustix::fs::{FileType, Stat, fadvise, fstat, futimens};
use rustix::io::Errno;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode, Filesize,
    Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::beneath::{self, Opening};
use super::convert::{describe, follow, hash, kind_of, opening, times};
use super::listing::{LISTINGS_AT_MOST, Listing};
use super::roots::Roots;
use super::space;
use super::streams::{Place, Reader, Writer, read_at};
use super::work::Handle;
use super::{Files, Folder, Located, Node, OpenedFile};

/// The maximum size of one write call; it returns the size that was written.
const WRITE_AT_MOST: usize = 1 << 20;

/// Links or renames a path below an open folder.
type Move = fn(&Roots, (&std::fs::File, &str), (&std::fs::File, &str)) -> std::io::Result<()>;

impl Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl Files<'_> {
    /// Changes something at a path.
    async fn change(
        &mut self,
        folder: &Resource<Descriptor>,
        path: String,
        doing: &str,
        change: impl FnOnce(&std::fs::File, &str) -> std::io::Result<()> + Send + 'static,
    ) -> FsResult<()> {
        let located = self.locate(folder, path, doing).await?;
        let Located::Real { folder, path, shown } = located else { return Err(self.refuse_at(doing, &located)) };
        let result = match folder.access {
            FileAccess::Read => Err(ErrorCode::NotPermitted.into()),
            FileAccess::Write => {
                self.granted.run(move || change(&folder.file, &path)).await.and_then(|done| done.map_err(FsError::from))
            }
        };
        self.conclude(result, doing, &shown)
    }

    /// Changes something with an old and a new path.
    async fn move_to(
        &mut self,
        (folder, path, doing): (&Resource<Descriptor>, String, &str),
        (new_folder, new_path, creating): (&Resource<Descriptor>, String, &str),
        change: Move,
    ) -> FsResult<()> {
        let located = self.locate(folder, path, doing).await?;
        let Located::Real { folder: old, path, shown } = located else { return Err(self.refuse_at(doing, &located)) };
        let located = self.locate(new_folder, new_path, creating).await?;
        let Located::Real { folder: new, path: new_path, shown: new_shown } = located else {
            return Err(self.refuse_at(creating, &located));
        };
        for (folder, doing, shown) in [(&old, doing, &shown), (&new, creating, &new_shown)] {
            if folder.access == FileAccess::Read {
                return self.conclude(Err(ErrorCode::NotPermitted.into()), doing, shown);
            }
        }
        // A file in two grants would stay accessible when one of them ends. Neither a link nor the rename of a link may
        // cause that.
        if old.root != new.root {
            return Err(ErrorCode::CrossDevice.into());
        }
        let roots = Arc::clone(&self.granted.roots);
        let change = move || change(&roots, (&*old.file, path.as_str()), (&*new.file, new_path.as_str()));
        let result = self.granted.run(change).await;
        let failed = |error: std::io::Error| match Errno::from_io_error(&error) {
            // Wasmtime's error table lacks this one.
            Some(Errno::XDEV) => ErrorCode::CrossDevice.into(),
            _ => FsError::from(error),
        };
        self.conclude(result.and_then(|done| done.map_err(failed)), doing, &shown)
    }

    /// Looks at what is at a path.
    async fn look(&mut self, folder: &Resource<Descriptor>, flags: PathFlags, path: String) -> FsResult<Stat> {
        let doing = "look at the file";
        match self.locate(folder, path, doing).await? {
            Located::Real { folder, path, shown } => {
                let follow = follow(flags);
                let result = self.granted.run(move || beneath::stat(&folder.file, &path, follow)).await;
                self.conclude(result.and_then(|stat| stat.map_err(FsError::from)), doing, &shown)
            }
            Located::File(index) => Ok(self.open_granted(index).await?.1),
            Located::Virtual(_) => Ok(self.look_at_nothing().await?),
        }
    }

    async fn look_at_nothing(&mut self) -> FsResult<Stat> {
        let nothing = Arc::clone(&self.granted.nothing);
        Ok(self.granted.run(move || fstat(&nothing)).await?.map_err(std::io::Error::from)?)
    }

    /// Opens a single granted file.
    async fn open_granted(&mut self, index: usize) -> FsResult<(OpenedFile, Stat)> {
        let open = self.room()?;
        let roots = Arc::clone(&self.granted.roots);
        let opened = self.granted.run(move || roots.files[index].open_file()).await?;
        let (file, stat) = opened.map_err(|error| self.open_error(error, &self.granted.roots.files[index].path))?;
        let file = Handle::new(file, &self.granted.work, open);
        Ok((OpenedFile { file, access: FileAccess::Read, read: true, write: false }, stat))
    }

    async fn open_below(&mut self, folder: Folder, path: String, shown: &str, opening: Opening) -> FsResult<Node> {
        if folder.access == FileAccess::Read && (opening.write || opening.create || opening.truncate) {
            return Err(ErrorCode::NotPermitted.into());
        }
        let open = self.room()?;
        let (access, root, from) = (folder.access, folder.root, Arc::clone(&folder.file));
        let opened = self.granted.run(move || beneath::open(&from, &path, opening)).await?;
        let (file, stat) = opened.map_err(|error| self.open_error(error, shown))?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let file = Arc::new(file);
                Node::Folder(Folder { file, access, root, _open: Some(Arc::new(open)), is_root: false })
            }
            _ => {
                let file = Handle::new(file, &self.granted.work, open);
                Node::File(OpenedFile { file, access, read: opening.read, write: opening.write })
            }
        })
    }

    /// The file of a handle; folders have none.
    fn file(&self, handle: &Resource<Descriptor>, of_folders: ErrorCode) -> FsResult<&OpenedFile> {
        match self.node(handle).map_err(FsError::trap)? {
            Node::File(file) => Ok(file),
            Node::Folder(_) | Node::Virtual(_) => Err(of_folders.into()),
        }
    }

    /// The file of a handle, to change it.
    fn file_to_change(&self, handle: &Resource<Descriptor>) -> FsResult<Arc<Handle>> {
        let file = self.file(handle, ErrorCode::BadDescriptor)?;
        match file.access {
            FileAccess::Read => Err(ErrorCode::NotPermitted.into()),
            FileAccess::Write => Ok(Arc::clone(&file.file)),
        }
    }

    /// What the plugin may do with a handle. Virtual folders can only be read.
    fn access(&self, handle: &Resource<Descriptor>) -> FsResult<FileAccess> {
        Ok(match self.node(handle).map_err(FsError::trap)? {
            Node::Virtual(_) => FileAccess::Read,
            Node::Folder(folder) => folder.access,
            Node::File(file) => file.access,
        })
    }

    /// Writes to disk what the plugin has changed. Without write access, it has changed nothing.
    async fn sync_with(
        &mut self,
        handle: &Resource<Descriptor>,
        sync: fn(&std::fs::File) -> std::io::Result<()>,
    ) -> FsResult<()> {
        match self.access(handle)? {
            FileAccess::Read => Ok(()),
            FileAccess::Write => self.on_any(handle, sync).await,
        }
    }

    async fn on_any<T: Send + 'static>(
        &mut self,
        handle: &Resource<Descriptor>,
        operation: impl FnOnce(&std::fs::File) -> std::io::Result<T> + Send + 'static,
    ) -> FsResult<T> {
        let granted = self.granted;
        let folder = match self.node(handle).map_err(FsError::trap)? {
            Node::Virtual(_) => Arc::clone(&granted.nothing),
            Node::Folder(folder) => Arc::clone(&folder.file),
            Node::File(file) => {
                let file = Arc::clone(&file.file);
                return Ok(granted.run(move || operation(&file)).await??);
            }
        };
        Ok(granted.run(move || operation(&folder)).await??)
    }
}

impl HostDescriptor for Files<'_> {
    async fn open_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let writing = open_flags.intersects(OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE)
            || flags.contains(DescriptorFlags::WRITE);
        let doing = if writing { "change the file" } else { "open the file" };
        let node = match self.locate(&folder, path, doing).await? {
            Located::Real { folder, path, shown } => {
                let opening = opening(path_flags, open_flags, flags)?;
                let result = self.open_below(folder, path, &shown, opening).await;
                self.conclude(result, doing, &shown)?
            }
            located @ (Located::File(_) | Located::Virtual(_)) if writing => {
                return Err(self.refuse_at(doing, &located));
            }
            Located::File(_) if open_flags.contains(OpenFlags::DIRECTORY) => {
                return Err(ErrorCode::NotDirectory.into());
            }
            Located::File(index) => Node::File(self.open_granted(index).await?.0),
            Located::Virtual(path) => Node::Virtual(path),
        };
        self.push(node).map_err(FsError::trap)
    }

    async fn stat_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        Ok(describe(&self.look(&folder, path_flags, path).await?))
    }

    async fn metadata_hash_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        Ok(hash(&self.look(&folder, path_flags, path).await?))
    }

    async fn readlink_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<String> {
        let doing = "look at the file";
        match self.locate(&folder, path, doing).await? {
            Located::Real { folder, path, shown } => {
                let result = self.granted.run(move || beneath::read_link(&folder.file, &path)).await;
                let target = self.conclude(result.and_then(|read| read.map_err(FsError::from)), doing, &shown)?;
                String::from_utf8(target).map_err(|_| ErrorCode::IllegalByteSequence.into())
            }
            // The host's links are resolved when a path is granted, and are not visible here.
            Located::File(_) | Located::Virtual(_) => Err(ErrorCode::Invalid.into()),
        }
    }

    async fn create_directory_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.change(&folder, path, "create the folder", |folder, path| beneath::create_folder(folder, path)).await
    }

    async fn set_times_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let (times, follow) = (times(accessed, modified)?, follow(path_flags));
        let set = move |folder: &std::fs::File, path: &str| beneath::set_times(folder, path, follow, &times);
        self.change(&folder, path, "change the times of", set).await
    }

    async fn remove_directory_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.change(&folder, path, "remove the folder", |folder, path| beneath::remove_folder(folder, path)).await
    }

    async fn unlink_file_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.change(&folder, path, "remove the file", |folder, path| beneath::remove_file(folder, path)).await
    }

    async fn symlink_at(&mut self, folder: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        let create = move |folder: &std::fs::File, path: &str| beneath::create_link(folder, &target, path);
        self.change(&folder, path, "create the link", create).await
    }

    async fn link_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        new_folder: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if path_flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        let (old, new) = ((&folder, path, "link to the file"), (&new_folder, new_path, "create the link"));
        self.move_to(old, new, beneath::link).await
    }

    async fn rename_at(
        &mut self,
        folder: Resource<Descriptor>,
        path: String,
        new_folder: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let (old, new) = ((&folder, path, "rename the file"), (&new_folder, new_path, "create the file"));
        self.move_to(old, new, beneath::rename).await
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Node>::new_own(descriptor.rep()))?;
        Ok(())
    }

    async fn advise(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        let file = Arc::clone(&self.file(&file, ErrorCode::BadDescriptor)?.file);
        let advice = match advice {
            Advice::Normal => rustix::fs::Advice::Normal,
            Advice::Sequential => rustix::fs::Advice::Sequential,
            Advice::Random => rustix::fs::Advice::Random,
            Advice::WillNeed => rustix::fs::Advice::WillNeed,
            Advice::DontNeed => rustix::fs::Advice::DontNeed,
            Advice::NoReuse => rustix::fs::Advice::NoReuse,
        };
        let advised =
            self.granted.run(move || fadvise(&**file, offset, std::num::NonZero::new(length), advice)).await?;
        Ok(advised.map_err(std::io::Error::from)?)
    }

    async fn sync_data(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.sync_with(&file, std::fs::File::sync_data).await
    }

    async fn get_flags(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        let only = |condition, flag| if condition { flag } else { DescriptorFlags::empty() };
        Ok(match self.node(&file).map_err(FsError::trap)? {
            Node::Virtual(_) => DescriptorFlags::READ,
            Node::Folder(folder) => {
                DescriptorFlags::READ | only(folder.access == FileAccess::Write, DescriptorFlags::MUTATE_DIRECTORY)
            }
            Node::File(file) => only(file.read, DescriptorFlags::READ) | only(file.write, DescriptorFlags::WRITE),
        })
    }

    async fn get_type(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorType> {
        let stat = self.on_any(&file, |file| Ok(fstat(file)?)).await?;
        Ok(kind_of(FileType::from_raw_mode(stat.st_mode)))
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        let file = self.file_to_change(&file)?;
        let change = move || {
            if let Some(more) = size.checked_sub(file.metadata()?.len()).filter(|more| *more > 0) {
                space::check(&**file, more)?;
            }
            file.set_len(size)
        };
        Ok(self.granted.run(change).await??)
    }

    async fn set_times(
        &mut self,
        file: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let times = times(accessed, modified)?;
        if self.access(&file)? == FileAccess::Read {
            return Err(ErrorCode::NotPermitted.into());
        }
        self.on_any(&file, move |file| Ok(futimens(file, &times)?)).await
    }

    async fn read(
        &mut self,
        file: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        let file = Arc::clone(&self.file(&file, ErrorCode::BadDescriptor)?.file);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = self.granted.run(move || read_at(&file, length, offset)).await??;
        let ended = bytes.is_empty();
        Ok((bytes.into(), ended))
    }

    async fn write(&mut self, file: Resource<Descriptor>, mut bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        use std::os::unix::fs::FileExt as _;
        let file = self.file_to_change(&file)?;
        bytes.truncate(WRITE_AT_MOST);
        let write = move || {
            space::check(&**file, bytes.len() as u64)?;
            file.write_at(&bytes, offset)
        };
        Ok(self.granted.run(write).await?? as Filesize)
    }

    async fn read_directory(&mut self, folder: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        if let Node::File(_) = self.node(&folder).map_err(FsError::trap)? {
            return Err(ErrorCode::NotDirectory.into());
        }
        if *self.listings >= LISTINGS_AT_MOST {
            let message = format!("more than {LISTINGS_AT_MOST} directory listings are open at once");
            self.scope.log(outrigger_engine::runtime::LogLevel::Warn, message, Vec::new());
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let open = self.room()?;
        let opened = self.on_any(&folder, |folder| beneath::reopen(folder)).await?;
        let listing = self.table.push(Listing::new(opened, open))?;
        *self.listings += 1;
        Ok(Resource::new_own(listing.rep()))
    }

    async fn sync(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.sync_with(&file, std::fs::File::sync_all).await
    }

    async fn stat(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        Ok(describe(&self.on_any(&file, |file| Ok(fstat(file)?)).await?))
    }

    fn read_via_stream(&mut self, file: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let file = Arc::clone(&self.file(&file, ErrorCode::IsDirectory)?.file);
        let reader: DynInputStream = Box::new(Reader::new(file, Arc::clone(&self.granted.work), offset));
        Ok(self.table.push(reader)?)
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&file, Place::At(offset))
    }

    fn append_via_stream(&mut self, file: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&file, Place::End)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let same = async {
            let one = self.on_any(&one, |file| Ok(fstat(file)?)).await?;
            let other = self.on_any(&other, |file| Ok(fstat(file)?)).await?;
            Ok::<_, FsError>((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
        };
        Ok(same.await?)
    }

    async fn metadata_hash(&mut self, file: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        Ok(hash(&self.on_any(&file, |file| Ok(fstat(file)?)).await?))
    }
}

impl Files<'_> {
    fn writer(&mut self, file: &Resource<Descriptor>, place: Place) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file_to_change(file)?;
        let writer: DynOutputStream = Box::new(Writer::new(file, Arc::clone(&self.granted.work), place));
        Ok(self.table.push(writer)?)
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?;
        listing.next(&self.granted.work).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        *self.listings -= 1;
        Ok(())
    }
}
