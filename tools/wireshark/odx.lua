-- Token copy (Windows ODX) in Wireshark: every field of POPULATE TOKEN, WRITE USING TOKEN, RECEIVE ROD TOKEN INFORMATION, of
-- ROD tokens and of VPD page 8Fh (SPC-4, SBC-4), which Wireshark's own SCSI dissector shows as undecoded data.
--
--   wireshark -X lua_script:odx.lua capture.pcapng         or put this file into the personal plugin folder
--
-- It is a post-dissector: Wireshark's iSCSI dissector finds the PDUs, this reads them again. State is kept by frame number, so
-- frames may be looked at in any order once they have been read.

local odx = Proto("odx", "Token copy (ODX)")

-- Names of values -----------------------------------------------------------------------------------------------------------

local ROD_TYPES = {
    [0x00000000] = "copy manager internal",
    [0x00010000] = "access upon reference",
    [0x00800000] = "point in time copy, default",
    [0x00800001] = "point in time copy, change vulnerable",
    [0x00800002] = "point in time copy, persistent",
    [0x00800003] = "point in time copy, copy on write",
    [0x0080FFFF] = "point in time copy, any",
    [0xFFFF0001] = "block device zero",
}
local ASKED_ROD_TYPES = {}
for value, name in pairs(ROD_TYPES) do
    ASKED_ROD_TYPES[value] = value == 0 and "none asked for" or name
end
local COPY_STATUS = {
    [0x01] = "completed without error",
    [0x02] = "completed with error",
    [0x03] = "completed without error, partial ROD token usage",
    [0x04] = "completed without error, with residual data",
    [0x10] = "in progress",
    [0x11] = "in progress in the foreground",
    [0x12] = "in progress in the background",
    [0x60] = "terminated",
}
local SCSI_STATUS = {
    [0x00] = "GOOD", [0x02] = "CHECK CONDITION", [0x08] = "BUSY", [0x18] = "RESERVATION CONFLICT", [0x40] = "TASK ABORTED",
}
local UNITS = {
    [0x00] = "bytes", [0x01] = "KiB", [0x02] = "MiB", [0x03] = "GiB", [0x04] = "TiB", [0x05] = "PiB", [0x06] = "EiB",
    [0xF1] = "logical blocks",
}
local DELAYS = { [0xFFFFFFFE] = "finished", [0xFFFFFFFF] = "cannot be estimated" }
local SENSE_KEYS = {
    [0] = "NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION",
    "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED", "ABORTED COMMAND", "RESERVED", "VOLUME OVERFLOW",
    "MISCOMPARE", "COMPLETED",
}
local CODE_SETS = { [1] = "binary", [2] = "ASCII", [3] = "UTF-8" }
local ASSOCIATIONS = { [0] = "logical unit", [1] = "target port", [2] = "target device" }
local DESIGNATOR_TYPES = {
    [0] = "vendor specific", [1] = "T10 vendor identification", [2] = "EUI-64", [3] = "NAA", [8] = "SCSI name string",
}
local REMOTE_TOKENS = {
    [0] = "only tokens made within this target device", [4] = "tokens of others are accepted",
    [6] = "tokens of others are accepted and made",
}
local CSCD_IDS = {
    [0xC000] = "null block device", [0xC001] = "null stream device", [0xF800] = "ROD token", [0xFFFF] = "this logical unit",
}
local DESCRIPTORS = {
    [0x0000] = "block device ROD token limits", [0x0001] = "supported commands", [0x0004] = "parameter data",
    [0x0008] = "supported descriptors", [0x000C] = "supported CSCD descriptor IDs", [0x000D] = "copy group identifier",
    [0x0106] = "ROD token features", [0x0108] = "supported ROD types", [0x8001] = "general copy operations",
    [0x9101] = "stream copy operations", [0xC001] = "held data",
}

-- Tables of fields ----------------------------------------------------------------------------------------------------------
-- A row: { name, kind, offset, length, values or nil, mask or nil }. Kinds: dec, hex (up to 4 bytes), dec64, flag, bytes, text.

local all_fields = {}

-- Fields are called as the standards write them; these keep their underscores and hyphens.
local TITLES = {
    del_tkn = "DEL_TKN", ecpy_int = "ECPY_INT", token_in = "TOKEN_IN", token_out = "TOKEN_OUT", p_type = "P_TYPE",
    prot_en = "PROT_EN", p_i_exponent = "P_I_EXPONENT",
    third_party_copy_descriptor_type = "THIRD-PARTY COPY DESCRIPTOR TYPE",
    third_party_copy_descriptor_length = "THIRD-PARTY COPY DESCRIPTOR LENGTH",
}

local function title(name)
    return TITLES[name] or (name:gsub("_", " "):upper())
end

local function make_field(prefix, row)
    local name, kind, length, values, mask = row[1], row[2], row[4], row[5], row[6]
    local filter, label = "odx." .. prefix .. "." .. name, title(name)
    local integer = ({ ProtoField.uint8, ProtoField.uint16, ProtoField.uint24, ProtoField.uint32 })[length]
    local field
    if kind == "dec" then
        field = integer(filter, label, base.DEC, values, mask)
    elseif kind == "hex" then
        field = integer(filter, label, base.HEX, values, mask)
    elseif kind == "dec64" then
        field = ProtoField.uint64(filter, label, base.DEC)
    elseif kind == "flag" then
        field = ProtoField.bool(filter, label, 8, nil, mask)
    elseif kind == "text" then
        field = ProtoField.string(filter, label)
    else
        field = ProtoField.bytes(filter, label)
    end
    table.insert(all_fields, field)
    return field
end

local function layout(prefix, rows)
    for _, row in ipairs(rows) do
        row.field = make_field(prefix, row)
    end
    return rows
end

local function add_layout(tree, range, rows)
    for _, row in ipairs(rows) do
        if row[3] + row[4] <= range:len() then
            tree:add(row.field, range(row[3], row[4]))
        end
    end
end

local OUT_CDB = layout("cdb", {
    { "operation_code", "hex", 0, 1 },
    { "service_action", "hex", 1, 1, nil, 0x1F },
    { "list_identifier", "dec", 6, 4 },
    { "parameter_list_length", "dec", 10, 4 },
    { "group_number", "dec", 14, 1, nil, 0x3F },
    { "control", "hex", 15, 1 },
})
-- The same fields at other places.
local IN_CDB = {
    OUT_CDB[1], OUT_CDB[2],
    { "list_identifier", "dec", 2, 4, field = OUT_CDB[3].field },
    layout("cdb", { { "allocation_length", "dec", 10, 4 } })[1],
    OUT_CDB[6],
}
local ABORT_CDB = { IN_CDB[1], IN_CDB[2], IN_CDB[3], IN_CDB[5] }
local REPORT_CDB = { IN_CDB[1], IN_CDB[2], IN_CDB[4], IN_CDB[5] }
local INQUIRY_CDB = {
    OUT_CDB[1],
    layout("cdb", { { "evpd", "flag", 1, 1, nil, 0x01 } })[1],
    layout("cdb", { { "page_code", "hex", 2, 1 } })[1],
    { "allocation_length", "dec", 3, 2, field = IN_CDB[4].field },
    { "control", "hex", 5, 1, field = OUT_CDB[6].field },
}

local POPULATE_TOKEN = layout("pt", {
    { "populate_token_data_length", "dec", 0, 2 },
    { "rtv", "flag", 2, 1, nil, 0x02 },
    { "immed", "flag", 2, 1, nil, 0x01 },
    { "inactivity_timeout", "dec", 4, 4 },
    { "rod_type", "hex", 8, 4, ASKED_ROD_TYPES },
    { "block_device_range_descriptor_length", "dec", 14, 2 },
})
local WRITE_USING_TOKEN = layout("wut", {
    { "write_using_token_data_length", "dec", 0, 2 },
    { "del_tkn", "flag", 2, 1, nil, 0x02 },
    { "immed", "flag", 2, 1, nil, 0x01 },
    { "offset_into_rod", "dec64", 8, 8 },
})
local WRITE_USING_TOKEN_END = layout("wut", {
    { "block_device_range_descriptor_length", "dec", 534, 2 },
})
local RANGE = layout("range", {
    { "logical_block_address", "dec64", 0, 8 },
    { "number_of_logical_blocks", "dec", 8, 4 },
})
local COPY_RESULT = layout("result", {
    { "available_data", "dec", 0, 4 },
    { "response_to_service_action", "hex", 4, 1, {
        [0x00] = "EXTENDED COPY (LID1)", [0x01] = "EXTENDED COPY (LID4)",
        [0x10] = "POPULATE TOKEN", [0x11] = "WRITE USING TOKEN",
    }, 0x1F },
    { "copy_operation_status", "hex", 5, 1, COPY_STATUS, 0x7F },
    { "operation_counter", "dec", 6, 2 },
    { "estimated_status_update_delay", "dec", 8, 4, DELAYS },
    { "extended_copy_completion_status", "hex", 12, 1, SCSI_STATUS },
    { "length_of_the_sense_data_field", "dec", 13, 1 },
    { "sense_data_length", "dec", 14, 1 },
    { "transfer_count_units", "hex", 15, 1, UNITS },
    { "transfer_count", "dec64", 16, 8 },
    { "segments_processed", "dec", 24, 2 },
})
local RESULT_TOKENS = layout("result", {
    { "rod_token_descriptors_length", "dec", 0, 4 },
    { "id_for_creating_rod_cscd_descriptor", "hex", 4, 2 },
})
local SENSE = layout("sense", {
    { "response_code", "hex", 0, 1, nil, 0x7F },
    { "sense_key", "hex", 2, 1, SENSE_KEYS, 0x0F },
    { "information", "dec", 3, 4 },
    { "additional_sense_code", "hex", 12, 1 },
    { "additional_sense_code_qualifier", "hex", 13, 1 },
})
local TOKEN = layout("token", {
    { "rod_type", "hex", 0, 4, ROD_TYPES },
    { "rod_token_length", "dec", 6, 2 },
    { "copy_manager_rod_token_identifier", "bytes", 8, 8 },
})
local CREATOR = layout("token.creator", {
    { "descriptor_type_code", "hex", 16, 1, { [0xE4] = "identification descriptor" } },
    { "lu_id_type", "dec", 17, 1, nil, 0xC0 },
    { "peripheral_device_type", "hex", 17, 1, nil, 0x1F },
    { "relative_initiator_port_identifier", "dec", 18, 2 },
    { "code_set", "hex", 20, 1, CODE_SETS, 0x0F },
    { "association", "hex", 21, 1, ASSOCIATIONS, 0x30 },
    { "designator_type", "hex", 21, 1, DESIGNATOR_TYPES, 0x0F },
    { "designator_length", "dec", 23, 1 },
})
local CREATOR_END = layout("token.creator", {
    { "designator", "bytes", 24, 20 },
    { "disk_block_length", "dec", 45, 3 },
})
local SOURCE = layout("token", {
    { "logical_block_length", "dec", 96, 4 },
    { "p_type", "dec", 100, 1, nil, 0x0E },
    { "prot_en", "flag", 100, 1, nil, 0x01 },
    { "p_i_exponent", "dec", 101, 1, nil, 0xF0 },
    { "logical_blocks_per_physical_block_exponent", "dec", 101, 1, nil, 0x0F },
    { "lbpme", "flag", 102, 1, nil, 0x80 },
    { "lbprz", "flag", 102, 1, nil, 0x40 },
    { "lowest_aligned_logical_block_address", "dec", 102, 2, nil, 0x3FFF },
})
local TARGET_DEVICE = layout("token.target_device", {
    { "protocol_identifier", "hex", 128, 1, { [5] = "iSCSI" }, 0xF0 },
    { "code_set", "hex", 128, 1, CODE_SETS, 0x0F },
    { "piv", "flag", 129, 1, nil, 0x80 },
    { "association", "hex", 129, 1, ASSOCIATIONS, 0x30 },
    { "designator_type", "hex", 129, 1, DESIGNATOR_TYPES, 0x0F },
    { "designator_length", "dec", 131, 1 },
})
local PAGE = layout("vpd", {
    { "peripheral_qualifier", "dec", 0, 1, nil, 0xE0 },
    { "peripheral_device_type", "hex", 0, 1, nil, 0x1F },
    { "page_code", "hex", 1, 1 },
    { "page_length", "dec", 2, 2 },
})
local DESCRIPTOR = layout("vpd", {
    { "third_party_copy_descriptor_type", "hex", 0, 2, DESCRIPTORS },
    { "third_party_copy_descriptor_length", "dec", 2, 2 },
})
local TOKEN_LIMITS = layout("vpd.limits", {
    { "vendor_specific", "bytes", 4, 6 },
    { "maximum_range_descriptors", "dec", 10, 2 },
    { "maximum_inactivity_timeout", "dec", 12, 4 },
    { "default_inactivity_timeout", "dec", 16, 4 },
    { "maximum_token_transfer_size", "dec64", 20, 8 },
    { "optimal_transfer_count", "dec64", 28, 8 },
})
local PARAMETER_DATA = layout("vpd.parameter_data", {
    { "maximum_cscd_descriptor_count", "dec", 8, 2 },
    { "maximum_segment_descriptor_count", "dec", 10, 2 },
    { "maximum_descriptor_list_length", "dec", 12, 4 },
    { "maximum_inline_data_length", "dec", 16, 4 },
})
local TOKEN_FEATURES = layout("vpd.features", {
    { "remote_tokens", "hex", 4, 1, REMOTE_TOKENS, 0x0F },
    { "minimum_token_lifetime", "dec", 16, 4 },
    { "maximum_token_lifetime", "dec", 20, 4 },
    { "maximum_token_inactivity_timeout", "dec", 24, 4 },
    { "rod_device_type_specific_features_length", "dec", 46, 2 },
})
local BLOCK_FEATURES = layout("vpd.features.block", {
    { "descriptor_format", "dec", 0, 1, nil, 0xE0 },
    { "peripheral_device_type", "hex", 0, 1, nil, 0x1F },
    { "descriptor_length", "dec", 2, 2 },
    { "optimal_block_rod_length_granularity", "dec", 6, 2 },
    { "maximum_bytes_in_block_rod", "dec64", 8, 8 },
    { "optimal_bytes_in_block_rod_transfer", "dec64", 16, 8 },
    { "optimal_bytes_to_token_per_segment", "dec64", 24, 8 },
    { "optimal_bytes_from_token_per_segment", "dec64", 32, 8 },
})
local ROD_TYPE = layout("vpd.rod_type", {
    { "rod_type", "hex", 0, 4, ROD_TYPES },
    { "ecpy_int", "flag", 4, 1, nil, 0x80 },
    { "token_in", "flag", 4, 1, nil, 0x02 },
    { "token_out", "flag", 4, 1, nil, 0x01 },
    { "preference_indicator", "dec", 6, 2 },
})
local GENERAL_COPY = layout("vpd.general", {
    { "total_concurrent_copies", "dec", 4, 4 },
    { "maximum_identified_concurrent_copies", "dec", 8, 4 },
    { "maximum_segment_length", "dec", 12, 4 },
    { "data_segment_granularity", "dec", 16, 1 },
    { "inline_data_granularity", "dec", 17, 1 },
})
local STREAM_COPY = layout("vpd.stream", { { "maximum_stream_device_transfer_size", "dec", 4, 4 } })
local HELD_DATA = layout("vpd.held_data", {
    { "held_data_limit", "dec", 4, 4 },
    { "held_data_granularity", "dec", 8, 1 },
})

local function single(prefix, name, kind, length, values)
    return make_field(prefix, { name, kind, 0, length or 1, values })
end

local F = {
    command = single("command", "name", "text"),
    sense_data = single("result", "sense_data", "bytes"),
    bytes_represented = single("token", "number_of_bytes_represented", "dec64"),
    bytes_represented_unknown = single("token", "number_of_bytes_represented_unknown", "bytes"),
    designator_text = single("token.target_device", "designator", "text"),
    designator_bytes = single("token.target_device", "designator_bytes", "bytes"),
    extended_data = single("token", "extended_rod_token_data", "bytes"),
    rod_types_length = single("vpd", "rod_type_descriptors_length", "dec", 2),
    commands_length = single("vpd.commands", "commands_supported_list_length", "dec", 1),
    commands_code = single("vpd.commands", "operation_code", "hex", 1),
    commands_count = single("vpd.commands", "service_action_list_length", "dec", 1),
    commands_action = single("vpd.commands", "service_action", "hex", 1),
    descriptors_length = single("vpd.descriptors", "supported_descriptor_list_length", "dec", 1),
    descriptors_code = single("vpd.descriptors", "descriptor_type_code", "hex", 1),
    cscd_ids_length = single("vpd.cscd", "supported_cscd_id_list_length", "dec", 2),
    cscd_id = single("vpd.cscd", "cscd_descriptor_id", "hex", 2, CSCD_IDS),
    not_decoded = single("vpd", "not_decoded", "bytes"),
}
odx.fields = all_fields

-- Parts of the formats ------------------------------------------------------------------------------------------------------

local function add_ranges(tree, data, start, length)
    local number = 0
    local at = start
    while at + 16 <= math.min(start + length, data:len()) do
        local range = data(at, 16)
        local text = string.format("Block device range %d: LBA %s, %d blocks", number, range(0, 8):uint64(), range(8, 4):uint())
        add_layout(tree:add(odx, range, text), range, RANGE)
        number, at = number + 1, at + 16
    end
end

local function all_bytes(range, value)
    for i = 0, range:len() - 1 do
        if range(i, 1):uint() ~= value then
            return false
        end
    end
    return true
end

local function add_target_device(tree, token)
    local part = tree:add(odx, token(128, 128), "Target device descriptor")
    if all_bytes(token(128, 128), 0) then
        part:append_text(": zeros")
        return
    end
    add_layout(part, token, TARGET_DEVICE)
    local length = math.min(token(131, 1):uint(), 124)
    if length == 0 then
        return
    end
    if token(128, 1):bitfield(4, 4) == 1 then
        part:add(F.designator_bytes, token(132, length))
    else
        part:add(F.designator_text, token(132, length), token(132, length):stringz())
    end
end

-- A whole token, or the 96 bytes of a management token.
local function add_token(tree, token)
    local part = tree:add(odx, token, "ROD token")
    add_layout(part, token, TOKEN)
    if token:len() < 8 or token(0, 4):uint() == 0xFFFF0001 then
        return
    end
    if token:len() >= 64 then
        local creator = part:add(odx, token(16, 32), "Creator logical unit descriptor")
        add_layout(creator, token, CREATOR)
        local length = math.min(token(23, 1):uint(), 20)
        if length > 0 then
            creator:add(CREATOR_END[1].field, token(24, length))
        end
        creator:add(CREATOR_END[2].field, token(45, 3))
        if all_bytes(token(48, 16), 0xFF) then
            part:add(F.bytes_represented_unknown, token(48, 16))
        else
            part:add(F.bytes_represented, token(48, 16), token(56, 8):uint64())
        end
    end
    add_layout(part, token, SOURCE)
    if token:len() >= 256 then
        add_target_device(part, token)
    end
    if token:len() == 512 then
        part:add(F.extended_data, token(256, 256))
    end
end

local function add_populate_token(tree, data)
    local part = tree:add(odx, data, "POPULATE TOKEN parameter list")
    add_layout(part, data, POPULATE_TOKEN)
    if data:len() >= 16 then
        add_ranges(part, data, 16, data(14, 2):uint())
    end
end

local function add_write_using_token(tree, data)
    local part = tree:add(odx, data, "WRITE USING TOKEN parameter list")
    add_layout(part, data, WRITE_USING_TOKEN)
    if data:len() >= 528 then
        add_token(part, data(16, 512))
    end
    add_layout(part, data, WRITE_USING_TOKEN_END)
    if data:len() >= 536 then
        add_ranges(part, data, 536, data(534, 2):uint())
    end
end

local function add_sense(tree, data, field_length, length)
    local part = tree:add(F.sense_data, data(32, field_length))
    local format = data(32, 1):bitfield(1, 7)
    if (format == 0x70 or format == 0x71) and length >= 14 then
        add_layout(part, data(32, math.min(length, field_length)), SENSE)
    end
end

-- RECEIVE COPY STATUS (LID4) ends behind the sense data; RECEIVE ROD TOKEN INFORMATION goes on with tokens.
local function add_copy_result(tree, data, cdb)
    local is_status = cdb(1, 1):bitfield(3, 5) == 0x05
    local name = is_status and "RECEIVE COPY STATUS (LID4)" or "RECEIVE ROD TOKEN INFORMATION"
    local part = tree:add(odx, data, name .. " parameter data")
    add_layout(part, data, COPY_RESULT)
    if data:len() < 32 then
        return
    end
    local sense_length = data(13, 1):uint()
    local at = 32 + sense_length
    if sense_length > 0 and at <= data:len() then
        add_sense(part, data, sense_length, data(14, 1):uint())
    end
    if is_status or at + 4 > data:len() then
        return
    end
    local tokens = data(at)
    if tokens(0, 4):uint() == 0 then
        part:add(RESULT_TOKENS[1].field, tokens(0, 4))
        return
    end
    add_layout(part, tokens, RESULT_TOKENS)
    if tokens:len() > 6 then
        add_token(part, tokens(6, math.min(tokens:len() - 6, 512)))
    end
end

local function add_all_tokens(tree, data)
    local part = tree:add(odx, data, "REPORT ALL ROD TOKENS parameter data")
    if data:len() >= 4 then
        part:add(COPY_RESULT[1].field, data(0, 4))
    end
    for at = 8, data:len() - 96, 96 do
        add_token(part, data(at, 96))
    end
end

local function add_supported_commands(tree, descriptor)
    local list_end = math.min(5 + descriptor(4, 1):uint(), descriptor:len())
    tree:add(F.commands_length, descriptor(4, 1))
    local at = 5
    while at + 2 <= list_end do
        local count = math.min(descriptor(at + 1, 1):uint(), list_end - at - 2)
        tree:add(F.commands_code, descriptor(at, 1))
        tree:add(F.commands_count, descriptor(at + 1, 1))
        for i = 0, count - 1 do
            tree:add(F.commands_action, descriptor(at + 2 + i, 1))
        end
        at = at + 2 + count
    end
end

local function add_list(length_field, length_size, entry_field, entry_size)
    return function(tree, descriptor)
        local start = 4 + length_size
        local list_end = math.min(start + descriptor(4, length_size):uint(), descriptor:len())
        tree:add(length_field, descriptor(4, length_size))
        for at = start, list_end - entry_size, entry_size do
            tree:add(entry_field, descriptor(at, entry_size))
        end
    end
end

local function add_token_features(tree, descriptor)
    add_layout(tree, descriptor, TOKEN_FEATURES)
    local at = 48
    while at + 4 <= descriptor:len() do
        local length = math.min(descriptor(at + 2, 2):uint() + 4, descriptor:len() - at)
        local entry = descriptor(at, length)
        add_layout(tree:add(odx, entry, "Features of a device type"), entry, BLOCK_FEATURES)
        at = at + length
    end
end

local function add_rod_types(tree, descriptor)
    tree:add(F.rod_types_length, descriptor(6, 2))
    for at = 8, descriptor:len() - 64, 64 do
        local entry = descriptor(at, 64)
        local kind = entry(0, 4):uint()
        local text = string.format("ROD type %08Xh: %s", kind, ROD_TYPES[kind] or "unknown")
        add_layout(tree:add(odx, entry, text), entry, ROD_TYPE)
    end
end

local function of_layout(rows)
    return function(tree, descriptor)
        add_layout(tree, descriptor, rows)
    end
end

local DESCRIBE = {
    [0x0000] = of_layout(TOKEN_LIMITS),
    [0x0001] = add_supported_commands,
    [0x0004] = of_layout(PARAMETER_DATA),
    [0x0008] = add_list(F.descriptors_length, 1, F.descriptors_code, 1),
    [0x000C] = add_list(F.cscd_ids_length, 2, F.cscd_id, 2),
    [0x0106] = add_token_features,
    [0x0108] = add_rod_types,
    [0x8001] = of_layout(GENERAL_COPY),
    [0x9101] = of_layout(STREAM_COPY),
    [0xC001] = of_layout(HELD_DATA),
}
local LEAST_DESCRIPTOR_BYTES = 8

local function add_page(tree, data)
    local part = tree:add(odx, data, "VPD page 8Fh, third-party copy")
    add_layout(part, data, PAGE)
    local at = 4
    while at + 4 <= data:len() do
        local length = math.min(data(at + 2, 2):uint() + 4, data:len() - at)
        local descriptor = data(at, length)
        local kind = descriptor(0, 2):uint()
        local text = string.format("Descriptor %04Xh: %s", kind, DESCRIPTORS[kind] or "unknown")
        local branch = part:add(odx, descriptor, text)
        add_layout(branch, descriptor, DESCRIPTOR)
        if DESCRIBE[kind] and length >= LEAST_DESCRIPTOR_BYTES then
            DESCRIBE[kind](branch, descriptor)
        elseif length > 4 then
            branch:add(F.not_decoded, descriptor(4))
        end
        at = at + length
    end
end

-- Commands: by operation code and service action, what the CDB, the data sent and the data received look like ----------------

local COMMANDS = {
    [0x8310] = { name = "POPULATE TOKEN", cdb = OUT_CDB, sends = add_populate_token },
    [0x8311] = { name = "WRITE USING TOKEN", cdb = OUT_CDB, sends = add_write_using_token },
    [0x831C] = { name = "COPY OPERATION ABORT", cdb = ABORT_CDB },
    [0x8405] = { name = "RECEIVE COPY STATUS (LID4)", cdb = IN_CDB, receives = add_copy_result },
    [0x8407] = { name = "RECEIVE ROD TOKEN INFORMATION", cdb = IN_CDB, receives = add_copy_result },
    [0x8408] = { name = "REPORT ALL ROD TOKENS", cdb = REPORT_CDB, receives = add_all_tokens },
}
local PAGE_8F = { name = "INQUIRY (VPD page 8Fh)", cdb = INQUIRY_CDB, receives = add_page }

-- `cdb` is a TvbRange or a ByteArray of 16 bytes.
local function command_of(bytes)
    local code, second = bytes:get_index(0), bytes:get_index(1)
    if code == 0x12 then
        return second % 2 == 1 and bytes:get_index(2) == 0x8F and PAGE_8F or nil
    end
    return COMMANDS[code * 256 + second % 32]
end

-- iSCSI ---------------------------------------------------------------------------------------------------------------------

local SCSI_COMMAND, DATA_OUT, SCSI_RESPONSE, LOGIN_RESPONSE, DATA_IN = 0x01, 0x05, 0x21, 0x23, 0x25
local HEADER_BYTES = 48
local FULL_FEATURE_PHASE = 3

local field_pdu = Field.new("iscsi")
local field_stream = Field.new("tcp.stream")

local streams, frames = {}, {}

function odx.init()
    streams, frames = {}, {}
end

local function stream_of(number)
    if not streams[number] then
        streams[number] = { commands = {}, login_text = "", has_header_digest = false }
    end
    return streams[number]
end

-- The data segment, nil if there is none, and whether the capture has cut it short.
local function data_of(pdu, stream)
    local start = HEADER_BYTES + 4 * pdu(4, 1):uint()
    if stream.has_header_digest then
        start = start + 4
    end
    local stated = pdu(5, 3):uint()
    local length = math.min(stated, pdu:len() - start)
    return length > 0 and pdu(start, length) or nil, length < stated
end

-- What a target answered last counts once the login has ended.
local function follow_login(pdu, stream)
    local data = data_of(pdu, stream)
    if data then
        stream.login_text = stream.login_text .. data:bytes():raw()
    end
    local flags = pdu(1, 1):uint()
    if flags >= 0x80 and flags % 4 == FULL_FEATURE_PHASE and pdu(36, 1):uint() == 0 then
        for value in stream.login_text:gmatch("HeaderDigest=(%w+)") do
            stream.has_header_digest = value == "CRC32C"
        end
        stream.login_text = ""
    end
end

-- Gathers data in order; gives all of it once `expected` bytes are there, or no more can come.
local function gather(command, pdu, stream, offset, expected)
    local data, is_cut = data_of(pdu, stream)
    if not data or offset ~= command.gathered:len() then
        return nil
    end
    command.gathered:append(data:bytes())
    if command.gathered:len() < expected and not is_cut then
        return nil
    end
    local whole = command.gathered
    command.gathered = ByteArray.new()
    return { bytes = whole, is_here = offset == 0 }
end

-- What one PDU has for us: { command, cdb bytes, show_cdb, sent or received = { bytes, is_here }, has_header_digest }.
local function read_pdu(pdu, stream)
    local opcode, tag = pdu(0, 1):bitfield(2, 6), pdu(16, 4):uint()
    if opcode == LOGIN_RESPONSE then
        follow_login(pdu, stream)
    elseif opcode == SCSI_COMMAND then
        local cdb = pdu(32, 16):bytes()
        local kind = command_of(cdb)
        local command = kind and { kind = kind, cdb = cdb, gathered = ByteArray.new(), expected = pdu(20, 4):uint() }
        stream.commands[tag] = command
        if command then
            local sent = kind.sends and gather(command, pdu, stream, 0, command.expected)
            return { command = command, show_cdb = true, sent = sent, has_header_digest = stream.has_header_digest }
        end
    elseif opcode == DATA_OUT and stream.commands[tag] and stream.commands[tag].kind.sends then
        local command = stream.commands[tag]
        local sent = gather(command, pdu, stream, pdu(40, 4):uint(), command.expected)
        return { command = command, sent = sent, has_header_digest = stream.has_header_digest }
    elseif opcode == DATA_IN and stream.commands[tag] and stream.commands[tag].kind.receives then
        local command = stream.commands[tag]
        local is_final = pdu(1, 1):uint() >= 0x80
        local received = gather(command, pdu, stream, pdu(40, 4):uint(), is_final and 0 or math.huge)
        return { command = command, received = received, has_header_digest = stream.has_header_digest }
    elseif opcode == SCSI_RESPONSE then
        stream.commands[tag] = nil
    end
    return nil
end

-- Where the data of one PDU are all there is, they are shown in its own bytes.
local function range_of(gathered, pdu, has_header_digest)
    if gathered.is_here then
        return (data_of(pdu, { has_header_digest = has_header_digest }))
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

-- The bytes from a PDU's header on. The length of the item itself is not to be relied on: of a Data-In it may be the header's.
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
                found[i] = read_pdu(pdu, stream_of(stream.value)) or false
            end
            if found[i] then
                show(pdu, found[i], pinfo, tree)
            end
        end
    end
end

register_postdissector(odx)
