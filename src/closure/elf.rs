//! The few things in an ELF file (elf(5)) that say what else has to be loaded.

/// Something to be read at any place.
pub trait Bytes {
    /// That many bytes from there; `None` when there are fewer, or they cannot be read.
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>>;
}

impl Bytes for [u8] {
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(length)?;
        self.get(start..end).map(<[u8]>::to_vec)
    }
}

/// The kernel reads no more bytes of program headers (ELF_MIN_ALIGN and 64 KiB, fs/binfmt_elf.c).
const MOST_HEADERS: usize = 65_536;
/// Bytes of a dynamic section; those of large browsers have about 1 KiB.
const MOST_DYNAMIC: u64 = 1 << 20;
/// A path or the name of a library (PATH_MAX).
const LONGEST: usize = 4096;
/// Search paths can be longer.
const LONGEST_SEARCH: usize = 65_536;
/// Libraries that one file names.
const MOST_NAMES: usize = 4096;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;

/// What an ELF file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    /// 64 bits, not 32.
    pub wide: bool,
    /// The least significant byte first.
    pub little: bool,
    /// e_machine.
    pub machine: u16,
    /// The dynamic loader.
    pub interpreter: Option<Vec<u8>>,
    /// Whether it has a dynamic section.
    pub dynamic: bool,
    /// DT_NEEDED and DT_FILTER.
    pub needed: Vec<Vec<u8>>,
    /// DT_AUXILIARY, DT_AUDIT and DT_DEPAUDIT: loaded where they are there.
    pub wanted: Vec<Vec<u8>>,
    /// DT_SONAME.
    pub name: Option<Vec<u8>>,
    /// DT_RPATH.
    pub rpath: Option<Vec<u8>>,
    /// DT_RUNPATH.
    pub runpath: Option<Vec<u8>>,
    /// DF_1_NODEFLIB: not in the usual directories.
    pub no_default: bool,
    /// Versions of symbols that it needs of other files: the file, and the version.
    pub versions_needed: Vec<(Vec<u8>, Vec<u8>)>,
    /// Versions of symbols that it has.
    pub versions: Vec<Vec<u8>>,
}

/// Whether these are the first bytes of an ELF file.
#[must_use]
pub fn is_elf(start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF")
}

/// Numbers as a file writes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub wide: bool,
    pub little: bool,
}

impl Layout {
    pub fn half(self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little {
            u16::from_le_bytes(field)
        } else {
            u16::from_be_bytes(field)
        })
    }

    pub fn word(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little {
            u32::from_le_bytes(field)
        } else {
            u32::from_be_bytes(field)
        })
    }

    /// A number as wide as an address.
    pub fn address(self, bytes: &[u8], at: usize) -> Option<u64> {
        if !self.wide {
            return self.word(bytes, at).map(u64::from);
        }
        let field = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(if self.little {
            u64::from_le_bytes(field)
        } else {
            u64::from_be_bytes(field)
        })
    }
}

/// A part of a file that is put into memory.
#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
}

/// A file, and where its memory comes from.
pub(super) struct Image<'a, B: Bytes + ?Sized> {
    file: &'a B,
    pub layout: Layout,
    segments: Vec<Segment>,
}

impl<B: Bytes + ?Sized> Image<'_, B> {
    /// Bytes of memory as the file has them.
    pub fn memory(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let (offset, left) = self.place(address)?;
        (u64::try_from(length).ok()? <= left).then(|| self.file.read(offset, length))?
    }

    /// Where in the file an address is, and how many bytes follow.
    fn place(&self, address: u64) -> Option<(u64, u64)> {
        let mut loaded = self.segments.iter().filter(|part| part.kind == PT_LOAD);
        loaded.find_map(|part| {
            let within = address.checked_sub(part.address)?;
            let left = part.length.checked_sub(within).filter(|left| *left > 0)?;
            Some((part.offset.checked_add(within)?, left))
        })
    }

    /// A text of the table at `table` that ends with a NUL.
    pub fn text(&self, table: u64, at: u64, longest: usize) -> Option<Vec<u8>> {
        let (mut offset, left) = self.place(table.checked_add(at)?)?;
        let left = usize::try_from(left).unwrap_or(usize::MAX).min(longest);
        let mut out = Vec::new();
        while out.len() < left {
            let piece = self.file.read(offset, 64.min(left - out.len()))?;
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                out.extend_from_slice(piece.get(..end)?);
                return Some(out);
            }
            offset = offset.checked_add(u64::try_from(piece.len()).ok()?)?;
            out.extend_from_slice(&piece);
        }
        None
    }
}

/// Reads a file.
///
/// # Errors
/// What is wrong with it. `is_elf` files only.
pub fn read<B: Bytes + ?Sized>(file: &B) -> Result<Elf, &'static str> {
    let start = file.read(0, 20).ok_or("it ends within its header")?;
    if !is_elf(&start) {
        return Err("it is no ELF file");
    }
    let wide = match start.get(4) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err("it is neither of 32 nor of 64 bits"),
    };
    let little = match start.get(5) {
        Some(1) => true,
        Some(2) => false,
        _ => return Err("the order of its bytes is unknown"),
    };
    let layout = Layout { wide, little };
    let header = file
        .read(0, if wide { 64 } else { 52 })
        .ok_or("it ends within its header")?;
    let machine = layout
        .half(&header, 18)
        .ok_or("it ends within its header")?;
    let segments = segments(file, layout, &header)?;
    let image = Image {
        file,
        layout,
        segments,
    };
    let mut elf = Elf {
        wide,
        little,
        machine,
        ..Elf::default()
    };
    let first = |kind| image.segments.iter().find(|part| part.kind == kind);
    if let Some(part) = first(PT_INTERP) {
        let length = usize::try_from(part.length).unwrap_or(usize::MAX);
        if !(2..=LONGEST).contains(&length) {
            return Err("the name of its loader is too long, or empty");
        }
        let name = file.read(part.offset, length);
        let mut name = name.ok_or("the name of its loader is not in it")?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(length));
        elf.interpreter = Some(name);
    }
    if let Some(part) = first(PT_DYNAMIC) {
        elf.dynamic = true;
        dynamic(&image, *part, &mut elf)?;
    }
    Ok(elf)
}

fn segments<B: Bytes + ?Sized>(
    file: &B,
    layout: Layout,
    header: &[u8],
) -> Result<Vec<Segment>, &'static str> {
    let cut = "it ends within its header";
    let (table, size_at) = match layout.wide {
        true => (layout.address(header, 32), 54),
        false => (layout.address(header, 28), 42),
    };
    let table = table.ok_or(cut)?;
    let size = usize::from(layout.half(header, size_at).ok_or(cut)?);
    let count = usize::from(layout.half(header, size_at + 2).ok_or(cut)?);
    if count == 0 {
        return Ok(Vec::new());
    }
    if size != if layout.wide { 56 } else { 32 } {
        return Err("its program headers have a size that no kernel takes");
    }
    if size * count > MOST_HEADERS {
        return Err("it has too many program headers");
    }
    let all = file.read(table, size * count);
    let all = all.ok_or("its program headers are not in it")?;
    let read = |one: &[u8]| {
        let at = if layout.wide { [8, 16, 32] } else { [4, 8, 16] };
        Some(Segment {
            kind: layout.word(one, 0)?,
            offset: layout.address(one, at[0])?,
            address: layout.address(one, at[1])?,
            length: layout.address(one, at[2])?,
        })
    };
    Ok(all.chunks_exact(size).filter_map(read).collect())
}

fn dynamic<B: Bytes + ?Sized>(
    image: &Image<'_, B>,
    part: Segment,
    elf: &mut Elf,
) -> Result<(), &'static str> {
    const DT_NEEDED: u64 = 1;
    const DT_STRTAB: u64 = 5;
    const DT_SONAME: u64 = 14;
    const DT_RPATH: u64 = 15;
    const DT_RUNPATH: u64 = 29;
    const DT_FLAGS_1: u64 = 0x6fff_fffb;
    const DT_DEPAUDIT: u64 = 0x6fff_fefb;
    const DT_AUDIT: u64 = 0x6fff_fefc;
    const DT_VERDEF: u64 = 0x6fff_fffc;
    const DT_VERDEFNUM: u64 = 0x6fff_fffd;
    const DT_VERNEED: u64 = 0x6fff_fffe;
    const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
    const DT_AUXILIARY: u64 = 0x7fff_fffd;
    const DT_FILTER: u64 = 0x7fff_ffff;
    const DF_1_NODEFLIB: u64 = 0x800;

    if part.length > MOST_DYNAMIC {
        return Err("its dynamic section is too large");
    }
    let length = usize::try_from(part.length).unwrap_or(0);
    let bytes = image.file.read(part.offset, length);
    let bytes = bytes.ok_or("its dynamic section is not in it")?;
    let layout = image.layout;
    let width = if layout.wide { 8 } else { 4 };
    let entries: Vec<(u64, u64)> = bytes
        .chunks_exact(2 * width)
        .map_while(|entry| Some((layout.address(entry, 0)?, layout.address(entry, width)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let value = |wanted| {
        let mut found = entries.iter().rev();
        found.find_map(|(tag, value)| (*tag == wanted).then_some(*value))
    };
    elf.no_default = value(DT_FLAGS_1).is_some_and(|flags| flags & DF_1_NODEFLIB != 0);
    let Some(table) = value(DT_STRTAB) else {
        return Ok(());
    };
    let lost = "a name in its dynamic section is not in it";
    for (tag, at) in &entries {
        let (names, longest) = match *tag {
            DT_NEEDED | DT_FILTER => (Some(&mut elf.needed), LONGEST),
            DT_AUXILIARY | DT_AUDIT | DT_DEPAUDIT => (Some(&mut elf.wanted), LONGEST),
            DT_SONAME => (None, LONGEST),
            DT_RPATH | DT_RUNPATH => (None, LONGEST_SEARCH),
            _ => continue,
        };
        let text = image.text(table, *at, longest).ok_or(lost)?;
        match (names, *tag) {
            (Some(names), _) if names.len() >= MOST_NAMES => {
                return Err("it names too many libraries");
            }
            (Some(names), _) => names.push(text),
            (None, DT_SONAME) => elf.name = Some(text),
            (None, DT_RPATH) => elf.rpath = Some(text),
            (None, _) => elf.runpath = Some(text),
        }
    }
    if let (Some(at), Some(count)) = (value(DT_VERNEED), value(DT_VERNEEDNUM)) {
        elf.versions_needed = super::versions::needed(image, table, at, count);
    }
    if let (Some(at), Some(count)) = (value(DT_VERDEF), value(DT_VERDEFNUM)) {
        elf.versions = super::versions::defined(image, table, at, count);
    }
    Ok(())
}
