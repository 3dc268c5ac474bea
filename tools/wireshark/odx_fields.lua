-- The fields of token copy, for odx.lua: names of values, and a table of fields for each format. Only odx.lua uses this file.

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
local DELAYS = {
    { 0, 0xFFFFFFFD, "milliseconds" }, { 0xFFFFFFFE, 0xFFFFFFFE, "finished" }, { 0xFFFFFFFF, 0xFFFFFFFF, "cannot be estimated" },
}
local SENSE_KEYS = {
    [0] = "NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION",
    "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED", "ABORTED COMMAND", "RESERVED", "VOLUME OVERFLOW",
    "MISCOMPARE", "COMPLETED",
}
local SENSE_DESCRIPTORS = {
    [0x00] = "information", [0x01] = "command-specific information", [0x02] = "sense-key specific",
    [0x03] = "field replaceable unit", [0x0C] = "forwarded sense data",
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
local DEVICE_TYPES = { [0x00] = "block", [0x01] = "stream", [0x03] = "processor" }
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
-- A row: { name, kind, offset, length, values or nil, mask or nil }. Kinds: dec, hex (up to 4 bytes), range (values named by
-- first and last), dec64, flag, bytes, text.

local all_fields = {}

-- Fields have the names of the standards. The names below keep their underscores and hyphens.
local TITLES = {
    del_tkn = "DEL_TKN", c_d = "C/D", ecpy_int = "ECPY_INT", token_in = "TOKEN_IN", token_out = "TOKEN_OUT", p_type = "P_TYPE",
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
    elseif kind == "range" then
        field = integer(filter, label, base.DEC + base.RANGE_STRING, values)
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
-- The same fields at different offsets.
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
    { "estimated_status_update_delay", "range", 8, 4, DELAYS },
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
local FIXED_SENSE = layout("sense", {
    { "valid", "flag", 0, 1, nil, 0x80 },
    { "response_code", "hex", 0, 1, { [0x70] = "current, fixed format", [0x71] = "deferred, fixed format" }, 0x7F },
    { "sense_key", "hex", 2, 1, SENSE_KEYS, 0x0F },
    { "information", "dec", 3, 4 },
    { "additional_sense_length", "dec", 7, 1 },
    { "command_specific_information", "hex", 8, 4 },
    { "additional_sense_code", "hex", 12, 1 },
    { "additional_sense_code_qualifier", "hex", 13, 1 },
    { "field_replaceable_unit_code", "hex", 14, 1 },
    { "sksv", "flag", 15, 1, nil, 0x80 },
})
local DESCRIPTOR_SENSE = layout("sense", {
    { "response_code", "hex", 0, 1, { [0x72] = "current, descriptor format", [0x73] = "deferred, descriptor format" }, 0x7F },
    { "sense_key", "hex", 1, 1, SENSE_KEYS, 0x0F },
    { "additional_sense_code", "hex", 2, 1 },
    { "additional_sense_code_qualifier", "hex", 3, 1 },
    { "additional_sense_length", "dec", 7, 1 },
})
local SENSE_DESCRIPTOR = layout("sense.descriptor", {
    { "descriptor_type", "hex", 0, 1, SENSE_DESCRIPTORS },
    { "additional_length", "dec", 1, 1 },
})
local SENSE_INFORMATION = layout("sense.descriptor", {
    { "valid", "flag", 2, 1, nil, 0x80 },
    { "information", "dec64", 4, 8 },
})
local SENSE_COMMAND_SPECIFIC = layout("sense.descriptor", { { "command_specific_information", "bytes", 4, 8 } })
-- Sense-key specific data of ILLEGAL REQUEST and COPY ABORTED.
local FIELD_POINTER = layout("sense.specific", {
    { "c_d", "flag", 0, 1, nil, 0x40 },
    { "bpv", "flag", 0, 1, nil, 0x08 },
    { "bit_pointer", "dec", 0, 1, nil, 0x07 },
    { "field_pointer", "dec", 1, 2 },
})
local SEGMENT_POINTER = layout("sense.specific", {
    { "sd", "flag", 0, 1, nil, 0x20 },
    { "bpv", "flag", 0, 1, nil, 0x08 },
    { "bit_pointer", "dec", 0, 1, nil, 0x07 },
    { "field_pointer", "dec", 1, 2 },
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
local DEVICE_FEATURES = layout("vpd.features", {
    { "descriptor_format", "dec", 0, 1, nil, 0xE0 },
    { "peripheral_device_type", "hex", 0, 1, DEVICE_TYPES, 0x1F },
    { "descriptor_length", "dec", 2, 2 },
})
local BLOCK_FEATURES = layout("vpd.features.block", {
    { "optimal_block_rod_length_granularity", "dec", 6, 2 },
    { "maximum_bytes_in_block_rod", "dec64", 8, 8 },
    { "optimal_bytes_in_block_rod_transfer", "dec64", 16, 8 },
    { "optimal_bytes_to_token_per_segment", "dec64", 24, 8 },
    { "optimal_bytes_from_token_per_segment", "dec64", 32, 8 },
})
local STREAM_FEATURES = layout("vpd.features.stream", {
    { "maximum_bytes_in_stream_rod", "dec64", 8, 8 },
    { "optimal_bytes_in_stream_rod_transfer", "dec64", 16, 8 },
})
local PROCESSOR_FEATURES = layout("vpd.features.processor", {
    { "maximum_bytes_in_processor_rod", "dec64", 8, 8 },
    { "optimal_bytes_in_processor_rod_transfer", "dec64", 16, 8 },
})
local COPY_GROUP = layout("vpd.copy_group", {
    { "copy_group_identifier_length", "dec", 4, 1 },
    { "copy_group_identifier", "bytes", 5, 16 },
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
    sense_key_specific = single("sense.specific", "sense_key_specific", "bytes"),
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

return {
    all_fields = all_fields,
    ROD_TYPES = ROD_TYPES,
    DESCRIPTORS = DESCRIPTORS,
    add_layout = add_layout,
    OUT_CDB = OUT_CDB,
    IN_CDB = IN_CDB,
    ABORT_CDB = ABORT_CDB,
    REPORT_CDB = REPORT_CDB,
    INQUIRY_CDB = INQUIRY_CDB,
    POPULATE_TOKEN = POPULATE_TOKEN,
    WRITE_USING_TOKEN = WRITE_USING_TOKEN,
    WRITE_USING_TOKEN_END = WRITE_USING_TOKEN_END,
    RANGE = RANGE,
    COPY_RESULT = COPY_RESULT,
    RESULT_TOKENS = RESULT_TOKENS,
    FIXED_SENSE = FIXED_SENSE,
    DESCRIPTOR_SENSE = DESCRIPTOR_SENSE,
    SENSE_DESCRIPTORS = SENSE_DESCRIPTORS,
    SENSE_DESCRIPTOR = SENSE_DESCRIPTOR,
    SENSE_INFORMATION = SENSE_INFORMATION,
    SENSE_COMMAND_SPECIFIC = SENSE_COMMAND_SPECIFIC,
    FIELD_POINTER = FIELD_POINTER,
    SEGMENT_POINTER = SEGMENT_POINTER,
    TOKEN = TOKEN,
    CREATOR = CREATOR,
    CREATOR_END = CREATOR_END,
    SOURCE = SOURCE,
    TARGET_DEVICE = TARGET_DEVICE,
    PAGE = PAGE,
    DESCRIPTOR = DESCRIPTOR,
    TOKEN_LIMITS = TOKEN_LIMITS,
    PARAMETER_DATA = PARAMETER_DATA,
    TOKEN_FEATURES = TOKEN_FEATURES,
    DEVICE_FEATURES = DEVICE_FEATURES,
    BLOCK_FEATURES = BLOCK_FEATURES,
    STREAM_FEATURES = STREAM_FEATURES,
    PROCESSOR_FEATURES = PROCESSOR_FEATURES,
    COPY_GROUP = COPY_GROUP,
    ROD_TYPE = ROD_TYPE,
    GENERAL_COPY = GENERAL_COPY,
    STREAM_COPY = STREAM_COPY,
    HELD_DATA = HELD_DATA,
    F = F,
}
