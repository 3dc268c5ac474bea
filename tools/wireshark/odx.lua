-- Decodes token copy (Windows ODX) in Wireshark: every field of POPULATE TOKEN, WRITE USING TOKEN, RECEIVE ROD TOKEN INFORMATION,
-- ROD tokens and VPD page 8Fh (SPC-4, SBC-4). Wireshark's own SCSI dissector shows these as undecoded data.
--
--   wireshark -X lua_script:odx.lua capture.pcapng      or put the files of this folder into the personal plugin folder
--
-- It is a post-dissector: Wireshark's iSCSI dissector finds the PDUs, and this script reads them again. State is kept by frame
-- number, so frames may be shown in any order after they have been read once.

local odx = Proto("odx", "Token copy (ODX)")

local folder = debug.getinfo(1, "S").source:match("^@?(.*[/\\])") or ""
local fields = dofile(folder .. "odx_fields.lua")
local formats = assert(loadfile(folder .. "odx_formats.lua"))(odx, fields)
local add_layout, F = fields.add_layout, fields.F
odx.fields = fields.all_fields

-- Commands: by operation code and service action, what the CDB, the data sent and the data received look like ----------------

-- The position of the field with the length of the parameter data: AVAILABLE DATA or PAGE LENGTH.
local AVAILABLE_DATA, PAGE_LENGTH = { at = 0, length = 4 }, { at = 2, length = 2 }

local COMMANDS = {
    [0x8310] = { name = "POPULATE TOKEN", cdb = fields.OUT_CDB, sends = formats.add_populate_token },
    [0x8311] = { name = "WRITE USING TOKEN", cdb = fields.OUT_CDB, sends = formats.add_write_using_token },
    [0x831C] = { name = "COPY OPERATION ABORT", cdb = fields.ABORT_CDB },
    [0x8405] = { name = "RECEIVE COPY STATUS (LID4)", cdb = fields.IN_CDB, receives = formats.add_copy_result, size = AVAILABLE_DATA },
    [0x8407] = { name = "RECEIVE ROD TOKEN INFORMATION", cdb = fields.IN_CDB, receives = formats.add_copy_result, size = AVAILABLE_DATA },
    [0x8408] = { name = "REPORT ALL ROD TOKENS", cdb = fields.REPORT_CDB, receives = formats.add_all_tokens, size = AVAILABLE_DATA },
}
local PAGE_8F = { name = "INQUIRY (VPD page 8Fh)", cdb = fields.INQUIRY_CDB, receives = formats.add_page, size = PAGE_LENGTH }

-- `bytes` is the ByteArray of a CDB.
local function command_of(bytes)
    local code, second = bytes:get_index(0), bytes:get_index(1)
    if code == 0x12 then
        return second % 2 == 1 and bytes:get_index(2) == 0x8F and PAGE_8F or nil
    end
    return COMMANDS[code * 256 + second % 32]
end

-- iSCSI ---------------------------------------------------------------------------------------------------------------------

local SCSI_COMMAND, DATA_OUT, SCSI_RESPONSE, DATA_IN = 0x01, 0x05, 0x21, 0x25
local HEADER_BYTES = 48

local field_pdu = Field.new("iscsi")
local field_stream = Field.new("tcp.stream")
-- Wireshark detects digests by computing them, also if a capture has no login. All PDUs of a packet have digests, or none has.
local field_header_digest = Field.new("iscsi.headerdigest32")

local streams, frames = {}, {}

function odx.init()
    streams, frames = {}, {}
end

local function stream_of(number)
    if not streams[number] then
        streams[number] = { commands = {} }
    end
    return streams[number]
end

-- Returns the data segment (nil if there is none), and true if the capture has cut it short.
local function data_of(pdu, has_header_digest)
    local start = HEADER_BYTES + 4 * pdu(4, 1):uint() + (has_header_digest and 4 or 0)
    local stated = pdu(5, 3):uint()
    local length = math.min(stated, pdu:len() - start)
    return length > 0 and pdu(start, length) or nil, length < stated
end

-- Returns at most `most` bytes of the gathered data. `is_here` is true if the present PDU has all of the data.
local function taken(command, is_here, most)
    local whole = command.gathered
    command.gathered = ByteArray.new()
    return { bytes = whole:subset(0, math.min(whole:len(), most)), is_here = is_here }
end

-- Gathers data in order. Returns the data when it is complete, or when no more data can come.
local function gather(command, pdu, has_header_digest, offset, is_whole)
    local data, is_cut = data_of(pdu, has_header_digest)
    if not data or offset ~= command.gathered:len() then
        return nil
    end
    command.gathered:append(data:bytes())
    if not is_cut and not is_whole(command.gathered) then
        return nil
    end
    return taken(command, offset == 0, command.list_bytes or math.huge)
end

-- Returns a function that is true if a Data-In ends the parameter data. The F bit without status may end only a burst (RFC 7143,
-- 11.7.1); then the length in the parameter data decides. Shorter parameter data ends with the SCSI Response.
local function ends_answer(pdu, size)
    local flags = pdu(1, 1)
    local is_final, has_status = flags:bitfield(0) == 1, flags:bitfield(7) == 1
    return function(answer)
        local start = size.at + size.length
        if has_status or not is_final or answer:len() < start then
            return has_status
        end
        return answer:len() >= start + answer:tvb("Token copy data")(size.at, size.length):uint()
    end
end

-- Begins a command with its parameter list, which may be shorter than its length in the CDB.
local function begin(pdu, has_header_digest)
    local cdb = pdu(32, 16):bytes()
    local kind = command_of(cdb)
    if not kind then
        return nil, nil
    end
    local command = { kind = kind, cdb = cdb, gathered = ByteArray.new() }
    if not kind.sends then
        return command, nil
    end
    command.list_bytes = pdu(42, 4):uint()
    local expected = math.min(pdu(20, 4):uint(), command.list_bytes)
    command.is_whole = function(list)
        return list:len() >= expected
    end
    return command, gather(command, pdu, has_header_digest, 0, command.is_whole)
end

-- Reads one PDU; returns { command, show_cdb, sent or received = { bytes, is_here }, has_header_digest }, or nil.
local function read_pdu(pdu, stream, has_header_digest)
    local opcode, tag = pdu(0, 1):bitfield(2, 6), pdu(16, 4):uint()
    local command = stream.commands[tag]
    local found = { command = command, has_header_digest = has_header_digest }
    if opcode == SCSI_COMMAND then
        found.command, found.sent = begin(pdu, has_header_digest)
        found.show_cdb = true
        stream.commands[tag] = found.command
        return found.command and found
    elseif not command then
        return nil
    elseif opcode == DATA_OUT and command.kind.sends then
        found.sent = gather(command, pdu, has_header_digest, pdu(40, 4):uint(), command.is_whole)
        return found
    elseif opcode == DATA_IN and command.kind.receives then
        local is_whole = ends_answer(pdu, command.kind.size)
        found.received = gather(command, pdu, has_header_digest, pdu(40, 4):uint(), is_whole)
        return found
    elseif opcode == SCSI_RESPONSE then
        stream.commands[tag] = nil
        if command.gathered:len() > 0 then
            -- the part that came of an incomplete parameter list or of incomplete parameter data
            local direction = command.kind.sends and "sent" or "received"
            found[direction] = taken(command, false, command.list_bytes or math.huge)
            return found
        end
    end
    return nil
end

-- Returns the data as a range of the PDU itself if the PDU has all of the data.
local function range_of(gathered, pdu, has_header_digest)
    if gathered.is_here then
        return data_of(pdu, has_header_digest)(0, gathered.bytes:len())
    end
    return gathered.bytes:tvb("Token copy data")()
end

local function show(pdu, found, pinfo, tree)
    local kind = found.command.kind
    local part = tree:add(odx, pdu(0, HEADER_BYTES), "Token copy (ODX): " .. kind.name)
    part:add(F.command, pdu(0, 1), kind.name):set_generated()
    if found.show_cdb then
        local cdb = pdu(32, 16)
        add_layout(part:add(odx, cdb, kind.name .. " CDB"), cdb, kind.cdb)
        pinfo.cols.info:append(" [" .. kind.name .. "]")
    end
    if found.sent then
        kind.sends(part, range_of(found.sent, pdu, found.has_header_digest))
    end
    if found.received then
        local cdb = found.command.cdb:tvb("CDB")()
        kind.receives(part, range_of(found.received, pdu, found.has_header_digest), cdb)
    end
end

-- Returns the bytes from the header of a PDU on. The length of the item is unreliable: for a Data-In it may cover only the header.
local function pdu_at(info)
    local source, offset = info.source, info.offset
    return source and source:len() - offset >= HEADER_BYTES and source(offset) or nil
end

function odx.dissector(_, pinfo, tree)
    local pdus, stream = { field_pdu() }, field_stream()
    if #pdus == 0 or not stream then
        return
    end
    local found = frames[pinfo.number]
    local is_new = not found
    if is_new then
        found = {}
        frames[pinfo.number] = found
    end
    for i, info in ipairs(pdus) do
        local pdu = pdu_at(info)
        if pdu then
            if is_new then
                found[i] = read_pdu(pdu, stream_of(stream.value), field_header_digest() ~= nil) or false
            end
            if found[i] then
                show(pdu, found[i], pinfo, tree)
            end
        end
    end
end

register_postdissector(odx)
