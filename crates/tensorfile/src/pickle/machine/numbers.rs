//! Instructions that push numbers, text and bytes.

use super::{Machine, Node, Result};

impl Machine<'_> {
    fn text(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.broken("text isn't UTF-8"))?;
        self.push(Node::Str(text.to_owned()))
    }

    /// Python 2's strings: text where they are UTF-8.
    fn old_text(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?.to_vec();
        self.push(String::from_utf8(bytes).map_or_else(|e| Node::Bytes(e.into_bytes()), Node::Str))
    }

    fn raw(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?.to_vec();
        self.push(Node::Bytes(bytes))
    }

    fn long(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        if bytes.len() <= 8 {
            wide[..bytes.len()].copy_from_slice(bytes);
            return self.push(Node::Int(i64::from_le_bytes(wide)));
        }
        self.push(Node::Long(bytes.to_vec()))
    }

    /// Instructions that push one number or text.
    pub(super) fn numbers_and_text(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            b'K' => {
                let n = self.byte()?;
                self.push(Node::Int(n.into()))?;
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            b'I' | b'L' => {
                let node = match self.line()? {
                    "00" if opcode == b'I' => Node::Bool(false),
                    "01" if opcode == b'I' => Node::Bool(true),
                    text => Node::Int(
                        text.trim_end_matches('L')
                            .parse()
                            .map_err(|_| self.broken("a number can't be read"))?,
                    ),
                };
                self.push(node)?;
            }
            0x8a => {
                let len = self.byte()?;
                self.long(len.into())?;
            }
            0x8b => {
                let len = self.u32()?;
                self.long(len)?;
            }
            b'F' => {
                let x = self.line()?.parse().map_err(|_| self.broken("a number can't be read"))?;
                self.push(Node::Float(x))?;
            }
            b'G' => {
                let x = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(x))?;
            }
            b'V' | b'S' => {
                let line = self.line()?;
                let quoted = line.len() >= 2 && line.starts_with(['\'', '"']) && line.ends_with(['\'', '"']);
                let text = if opcode == b'S' && quoted { &line[1..line.len() - 1] } else { line };
                if text.contains('\\') {
                    return Err(self.broken("text with escapes in protocol 0 isn't supported"));
                }
                self.push(Node::Str(text.to_owned()))?;
            }
            b'X' => {
                let len = self.u32()?;
                self.text(len)?;
            }
            0x8c => {
                let len = self.byte()?;
                self.text(len.into())?;
            }
            0x8d => {
                let len = u64::from_le_bytes(self.array()?);
                self.text(len)?;
            }
            b'T' => {
                let len = self.u32()?;
                self.old_text(len)?;
            }
            b'U' => {
                let len = self.byte()?;
                self.old_text(len.into())?;
            }
            b'B' => {
                let len = self.u32()?;
                self.raw(len)?;
            }
            b'C' => {
                let len = self.byte()?;
                self.raw(len.into())?;
            }
            0x8e | 0x96 => {
                let len = u64::from_le_bytes(self.array()?);
                self.raw(len)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
