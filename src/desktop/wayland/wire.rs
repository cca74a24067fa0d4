//! Messages of the Wayland protocol as bytes: the few that are needed here. Pure.
//!
//! A message is the number of an object, then the length of the message (upper half) and what is asked of the object
//! (lower half), then arguments, all words of 32 bits in this machine's order. A text is its length with a NUL, its bytes,
//! the NUL, and zeros up to a whole word. Descriptors go beside the bytes.

/// The display, which is there from the start.
pub const DISPLAY: u32 = 1;
/// A message's length has 16 bits.
const LONGEST: usize = 0xffff;
/// Texts that are sent are no longer, so that all messages fit.
const LONGEST_TEXT: usize = 1024;

/// A message to the compositor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    fn new(object: u32, opcode: u16) -> Self {
        let mut message = Self(Vec::new());
        message.put(object);
        message.put(u32::from(opcode));
        message
    }

    fn put(&mut self, word: u32) {
        self.0.extend(word.to_ne_bytes());
    }

    fn word(mut self, word: u32) -> Self {
        self.put(word);
        self
    }

    fn text(mut self, text: &str) -> Self {
        // A NUL would end it early, and a long one would not fit.
        let bytes = text.bytes().filter(|byte| *byte != 0).take(LONGEST_TEXT);
        let bytes: Vec<u8> = bytes.collect();
        let length = u32::try_from(bytes.len() + 1).unwrap_or(u32::MAX);
        self.put(length);
        self.0.extend(bytes);
        self.0.push(0);
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        self
    }

    /// Fills the length in.
    fn end(mut self) -> Self {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX) << 16;
        let opcode = word(&self.0, 4).unwrap_or(0);
        if let Some(place) = self.0.get_mut(4..8) {
            place.copy_from_slice(&(length | opcode).to_ne_bytes());
        }
        self
    }

    /// As they are sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What is asked of objects.
#[derive(Debug)]
pub struct Request;

impl Request {
    /// `wl_display.sync`
    #[must_use]
    pub fn sync(display: u32, callback: u32) -> Message {
        Message::new(display, 0).word(callback).end()
    }

    /// `wl_display.get_registry`
    #[must_use]
    pub fn get_registry(display: u32, registry: u32) -> Message {
        Message::new(display, 1).word(registry).end()
    }

    /// `wl_registry.bind`
    #[must_use]
    pub fn bind(registry: u32, name: u32, interface: &str, version: u32, id: u32) -> Message {
        Message::new(registry, 0)
            .word(name)
            .text(interface)
            .word(version)
            .word(id)
            .end()
    }

    /// `wp_security_context_manager_v1.create_listener`; the listening socket and the pipe go beside it, in this order.
    #[must_use]
    pub fn create_listener(manager: u32, context: u32) -> Message {
        Message::new(manager, 1).word(context).end()
    }

    /// `destroy` of the manager or of a context
    #[must_use]
    pub fn destroy(object: u32) -> Message {
        Message::new(object, 0).end()
    }

    /// `wp_security_context_v1.set_sandbox_engine`
    #[must_use]
    pub fn set_sandbox_engine(context: u32, name: &str) -> Message {
        Message::new(context, 1).text(name).end()
    }

    /// `wp_security_context_v1.set_app_id`
    #[must_use]
    pub fn set_app_id(context: u32, id: &str) -> Message {
        Message::new(context, 2).text(id).end()
    }

    /// `wp_security_context_v1.set_instance_id`
    #[must_use]
    pub fn set_instance_id(context: u32, id: &str) -> Message {
        Message::new(context, 3).text(id).end()
    }

    /// `wp_security_context_v1.commit`
    #[must_use]
    pub fn commit(context: u32) -> Message {
        Message::new(context, 4).end()
    }
}

/// What the compositor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `wl_registry.global`: it has an object of this interface.
    Global {
        /// By which it is bound.
        name: u32,
        /// Of which kind it is.
        interface: String,
        /// Up to which version.
        version: u32,
    },
    /// `wl_display.error`: the end of the connection.
    Error {
        /// About which object.
        object: u32,
        /// In words.
        text: String,
    },
    /// An event of an object that is neither the display nor the registry; a callback has only one, `done`.
    Done {
        /// Which object.
        callback: u32,
    },
    /// Nothing that matters here.
    Other,
}

impl Event {
    /// Reads the first message, and says how many bytes it has; none while some are missing.
    ///
    /// # Errors
    /// What no compositor says.
    pub fn read(bytes: &[u8], registry: u32) -> Result<Option<(Self, usize)>, &'static str> {
        let (Some(object), Some(word)) = (word(bytes, 0), word(bytes, 4)) else {
            return Ok(None);
        };
        let (length, opcode) = ((word >> 16) as usize, word & 0xffff);
        if !(8..=LONGEST).contains(&length) || !length.is_multiple_of(4) {
            return Err("it sends a message of an impossible length");
        }
        let Some(arguments) = bytes.get(8..length) else {
            return Ok(None);
        };
        const WRONG: &str = "it sends a message that is cut off";
        let event = match (object, opcode) {
            (DISPLAY, 0) => Self::Error {
                object: self::word(arguments, 0).ok_or(WRONG)?,
                text: text(arguments, 8).ok_or(WRONG)?.0,
            },
            (DISPLAY, _) => Self::Other,
            (object, 0) if object == registry => {
                let (interface, end) = text(arguments, 4).ok_or(WRONG)?;
                Self::Global {
                    name: self::word(arguments, 0).ok_or(WRONG)?,
                    interface,
                    version: self::word(arguments, end).ok_or(WRONG)?,
                }
            }
            (object, _) if object == registry => Self::Other,
            (callback, 0) => Self::Done { callback },
            _ => Self::Other,
        };
        Ok(Some((event, length)))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

/// A text, and where what follows it begins.
fn text(bytes: &[u8], at: usize) -> Option<(String, usize)> {
    let length = word(bytes, at)? as usize;
    let start = at.checked_add(4)?;
    let end = start.checked_add(length)?;
    let with_nul = bytes.get(start..end)?;
    let (nul, text) = with_nul.split_last()?;
    (*nul == 0).then(|| {
        (
            String::from_utf8_lossy(text).into_owned(),
            end.next_multiple_of(4),
        )
    })
}
