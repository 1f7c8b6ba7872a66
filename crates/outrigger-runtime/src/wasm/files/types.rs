//! The interface `wasi:filesystem/types`: what concerns paths is located first, the rest is passed on.

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode, Filesize,
    Host, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::{Files, Located};

/// An operation on a path that only a folder that exists can do.
macro_rules! in_real_folder {
    ($self:ident, $folder:ident, $path:ident, $doing:literal, |$real:ident, $below:ident| $operation:expr) => {
        match $self.locate(&$folder, $path, $doing).await? {
            Located::Real { folder, path: $below, shown, borrowed } => {
                let $real = Resource::<Descriptor>::new_borrow(folder.rep());
                let result = $operation.await;
                $self.conclude(folder, borrowed, result, $doing, &shown)
            }
            Located::File(path) | Located::Virtual(path) => {
                $self.refuse($doing, &path);
                Err(ErrorCode::Access.into())
            }
        }
    };
}

impl Host for Files<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.filesystem_error_code(error)
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
        match self.locate(&folder, path, doing).await? {
            Located::Real { folder, path, shown, borrowed } => {
                let real = Resource::new_borrow(folder.rep());
                let result = self.wasi.open_at(real, path_flags, path, open_flags, flags).await;
                self.conclude(folder, borrowed, result, doing, &shown)
            }
            Located::File(path) | Located::Virtual(path) if writing => {
                self.refuse(doing, &path);
                Err(ErrorCode::Access.into())
            }
            Located::File(_) if open_flags.contains(OpenFlags::DIRECTORY) => Err(ErrorCode::NotDirectory.into()),
            Located::File(path) => self.open_file(path).await,
            Located::Virtual(path) => self.open_virtual(path).map_err(FsError::trap),
        }
    }

    async fn stat_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let doing = "look at the file";
        let opened = match self.locate(&folder, path, doing).await? {
            Located::Real { folder, path, shown, borrowed } => {
                let real = Resource::new_borrow(folder.rep());
                let result = self.wasi.stat_at(real, path_flags, path).await;
                return self.conclude(folder, borrowed, result, doing, &shown);
            }
            Located::File(path) => self.open_file(path).await?,
            Located::Virtual(path) => self.open_virtual(path).map_err(FsError::trap)?,
        };
        let result = self.wasi.stat(Resource::new_borrow(opened.rep())).await;
        HostDescriptor::drop(self, opened).map_err(FsError::trap)?;
        result
    }

    async fn metadata_hash_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let doing = "look at the file";
        let opened = match self.locate(&folder, path, doing).await? {
            Located::Real { folder, path, shown, borrowed } => {
                let real = Resource::new_borrow(folder.rep());
                let result = self.wasi.metadata_hash_at(real, path_flags, path).await;
                return self.conclude(folder, borrowed, result, doing, &shown);
            }
            Located::File(path) => self.open_file(path).await?,
            Located::Virtual(path) => self.open_virtual(path).map_err(FsError::trap)?,
        };
        let result = self.wasi.metadata_hash(Resource::new_borrow(opened.rep())).await;
        HostDescriptor::drop(self, opened).map_err(FsError::trap)?;
        result
    }

    async fn readlink_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<String> {
        let doing = "look at the file";
        match self.locate(&folder, path, doing).await? {
            Located::Real { folder, path, shown, borrowed } => {
                let real = Resource::new_borrow(folder.rep());
                let result = self.wasi.readlink_at(real, path).await;
                self.conclude(folder, borrowed, result, doing, &shown)
            }
            // Links of the host are followed on the way and are not seen here.
            Located::File(_) | Located::Virtual(_) => Err(ErrorCode::Invalid.into()),
        }
    }

    async fn create_directory_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<()> {
        in_real_folder!(self, folder, path, "create the folder", |real, below| self
            .wasi
            .create_directory_at(real, below))
    }

    async fn set_times_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        in_real_folder!(self, folder, path, "change the times of", |real, below| self
            .wasi
            .set_times_at(real, path_flags, below, accessed, modified))
    }

    async fn remove_directory_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<()> {
        in_real_folder!(self, folder, path, "remove the folder", |real, below| self
            .wasi
            .remove_directory_at(real, below))
    }

    async fn unlink_file_at(&mut self, folder: Resource<Descriptor>, path: String) -> FsResult<()> {
        in_real_folder!(self, folder, path, "remove the file", |real, below| self.wasi.unlink_file_at(real, below))
    }

    async fn symlink_at(&mut self, folder: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        in_real_folder!(self, folder, path, "create the link", |real, below| self.wasi.symlink_at(real, target, below))
    }

    async fn link_at(
        &mut self,
        folder: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        new_folder: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        in_real_folder!(self, folder, path, "link to the file", |real, below| async {
            in_real_folder!(self, new_folder, new_path, "create the link", |new_real, new_below| self.wasi.link_at(
                Resource::new_borrow(real.rep()),
                path_flags,
                below.clone(),
                new_real,
                new_below
            ))
        })
    }

    async fn rename_at(
        &mut self,
        folder: Resource<Descriptor>,
        path: String,
        new_folder: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        in_real_folder!(self, folder, path, "rename the file", |real, below| async {
            in_real_folder!(self, new_folder, new_path, "create the file", |new_real, new_below| self.wasi.rename_at(
                Resource::new_borrow(real.rep()),
                below.clone(),
                new_real,
                new_below
            ))
        })
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        if let Descriptor::Dir(dir) = self.wasi.table.get(&descriptor)? {
            let file = std::sync::Arc::clone(&dir.dir);
            self.folders.known.retain(|folder| !std::sync::Arc::ptr_eq(&folder.file, &file));
        }
        HostDescriptor::drop(&mut self.wasi, descriptor)
    }

    async fn advise(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
        length: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        self.wasi.advise(file, offset, length, advice).await
    }

    async fn sync_data(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.wasi.sync_data(file).await
    }

    async fn get_flags(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.wasi.get_flags(file).await
    }

    async fn get_type(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.wasi.get_type(file).await
    }

    async fn set_size(&mut self, file: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.wasi.set_size(file, size).await
    }

    async fn set_times(
        &mut self,
        file: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.wasi.set_times(file, accessed, modified).await
    }

    async fn read(
        &mut self,
        file: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.wasi.read(file, length, offset).await
    }

    async fn write(&mut self, file: Resource<Descriptor>, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        self.wasi.write(file, bytes, offset).await
    }

    async fn read_directory(&mut self, folder: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        self.wasi.read_directory(folder).await
    }

    async fn sync(&mut self, file: Resource<Descriptor>) -> FsResult<()> {
        self.wasi.sync(file).await
    }

    async fn stat(&mut self, file: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.wasi.stat(file).await
    }

    fn read_via_stream(&mut self, file: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(file, offset)
    }

    fn write_via_stream(
        &mut self,
        file: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.wasi.write_via_stream(file, offset)
    }

    fn append_via_stream(&mut self, file: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.wasi.append_via_stream(file)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, file: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        self.wasi.metadata_hash(file).await
    }
}

impl HostDirectoryEntryStream for Files<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
