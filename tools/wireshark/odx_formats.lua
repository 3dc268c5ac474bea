-- The formats of token copy, for odx.lua: functions that add a parameter list, parameter data or a page to the tree. odx.lua
-- passes its protocol and the tables of odx_fields.lua. Only odx.lua uses this file.

local odx, fields = ...
if not odx then
    return
end
local add_layout, F = fields.add_layout, fields.F

local function add_ranges(tree, data, start, length)
    local number = 0
    local at = start
    while at + 16 <= math.min(start + length, data:len()) do
        local range = data(at, 16)
        local text = string.format("Block device range %d: LBA %s, %d blocks", number, range(0, 8):uint64(), range(8, 4):uint())
        add_layout(tree:add(odx, range, text), range, fields.RANGE)
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
    add_layout(part, token, fields.TARGET_DEVICE)
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

-- Adds a whole token, or the 96 bytes of a management token.
local function add_token(tree, token)
    local part = tree:add(odx, token, "ROD token")
    add_layout(part, token, fields.TOKEN)
    if token:len() < 8 or token(0, 4):uint() == 0xFFFF0001 then
        return
    end
    if token:len() >= 64 then
        local creator = part:add(odx, token(16, 32), "Creator logical unit descriptor")
        add_layout(creator, token, fields.CREATOR)
        local length = math.min(token(23, 1):uint(), 20)
        if length > 0 then
            creator:add(fields.CREATOR_END[1].field, token(24, length))
        end
        creator:add(fields.CREATOR_END[2].field, token(45, 3))
        if all_bytes(token(48, 16), 0xFF) then
            part:add(F.bytes_represented_unknown, token(48, 16))
        else
            part:add(F.bytes_represented, token(48, 16), token(56, 8):uint64())
        end
    end
    add_layout(part, token, fields.SOURCE)
    if token:len() >= 256 then
        add_target_device(part, token)
    end
    if token:len() == 512 then
        part:add(F.extended_data, token(256, 256))
    end
end

local function add_populate_token(tree, data)
    local part = tree:add(odx, data, "POPULATE TOKEN parameter list")
    add_layout(part, data, fields.POPULATE_TOKEN)
    if data:len() >= 16 then
        add_ranges(part, data, 16, data(14, 2):uint())
    end
end

local function add_write_using_token(tree, data)
    local part = tree:add(odx, data, "WRITE USING TOKEN parameter list")
    add_layout(part, data, fields.WRITE_USING_TOKEN)
    if data:len() >= 528 then
        add_token(part, data(16, 512))
    end
    add_layout(part, data, fields.WRITE_USING_TOKEN_END)
    if data:len() >= 536 then
        add_ranges(part, data, 536, data(534, 2):uint())
    end
end

local ILLEGAL_REQUEST, COPY_ABORTED = 0x05, 0x0A

-- Adds the three bytes of sense-key specific data. They are valid only with SKSV, and their meaning depends on the sense key.
local function add_sense_key_specific(tree, bytes, sense_key)
    if bytes(0, 1):uint() < 0x80 then
        return
    elseif sense_key == ILLEGAL_REQUEST then
        add_layout(tree, bytes, fields.FIELD_POINTER)
    elseif sense_key == COPY_ABORTED then
        add_layout(tree, bytes, fields.SEGMENT_POINTER)
    else
        tree:add(F.sense_key_specific, bytes)
    end
end

local function add_fixed_sense(tree, sense)
    add_layout(tree, sense, fields.FIXED_SENSE)
    if sense:len() >= 18 then
        add_sense_key_specific(tree, sense(15, 3), sense(2, 1):bitfield(4, 4))
    end
end

local function add_sense_descriptor(tree, descriptor, sense_key)
    local kind = descriptor(0, 1):uint()
    local text = string.format("Sense data descriptor %02Xh: %s", kind, fields.SENSE_DESCRIPTORS[kind] or "unknown")
    local branch = tree:add(odx, descriptor, text)
    add_layout(branch, descriptor, fields.SENSE_DESCRIPTOR)
    if kind == 0x00 then
        add_layout(branch, descriptor, fields.SENSE_INFORMATION)
    elseif kind == 0x01 then
        add_layout(branch, descriptor, fields.SENSE_COMMAND_SPECIFIC)
    elseif kind == 0x02 and descriptor:len() >= 7 then
        add_sense_key_specific(branch, descriptor(4, 3), sense_key)
    elseif descriptor:len() > 2 then
        branch:add(F.not_decoded, descriptor(2))
    end
end

local function add_descriptor_sense(tree, sense)
    add_layout(tree, sense, fields.DESCRIPTOR_SENSE)
    local at = 8
    while at + 2 <= sense:len() do
        local length = math.min(sense(at + 1, 1):uint() + 2, sense:len() - at)
        add_sense_descriptor(tree, sense(at, length), sense(1, 1):bitfield(4, 4))
        at = at + length
    end
end

local function add_sense(tree, data, field_length, length)
    local part = tree:add(F.sense_data, data(32, field_length))
    local sense = data(32, math.min(length, field_length))
    if length == 0 then
        return
    end
    local format = sense(0, 1):bitfield(1, 7)
    if format == 0x70 or format == 0x71 then
        add_fixed_sense(part, sense)
    elseif (format == 0x72 or format == 0x73) and sense:len() >= 8 then
        add_descriptor_sense(part, sense)
    end
end

local ROD_TOKEN_DESCRIPTOR_BYTES = 514

-- The data of RECEIVE COPY STATUS (LID4) ends after the sense data; RECEIVE ROD TOKEN INFORMATION continues with tokens.
local function add_copy_result(tree, data, cdb)
    local is_status = cdb(1, 1):bitfield(3, 5) == 0x05
    local name = is_status and "RECEIVE COPY STATUS (LID4)" or "RECEIVE ROD TOKEN INFORMATION"
    local part = tree:add(odx, data, name .. " parameter data")
    add_layout(part, data, fields.COPY_RESULT)
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
    part:add(fields.RESULT_TOKENS[1].field, tokens(0, 4))
    local list_end = math.min(4 + tokens(0, 4):uint(), tokens:len())
    for start = 4, list_end - 2, ROD_TOKEN_DESCRIPTOR_BYTES do
        part:add(fields.RESULT_TOKENS[2].field, tokens(start, 2))
        local length = math.min(ROD_TOKEN_DESCRIPTOR_BYTES - 2, list_end - start - 2)
        if length > 0 then
            add_token(part, tokens(start + 2, length))
        end
    end
end

local function add_all_tokens(tree, data)
    local part = tree:add(odx, data, "REPORT ALL ROD TOKENS parameter data")
    if data:len() >= 4 then
        part:add(fields.COPY_RESULT[1].field, data(0, 4))
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

-- Features by peripheral device type.
local FEATURES = { [0x00] = fields.BLOCK_FEATURES, [0x01] = fields.STREAM_FEATURES, [0x03] = fields.PROCESSOR_FEATURES }

local function add_token_features(tree, descriptor)
    add_layout(tree, descriptor, fields.TOKEN_FEATURES)
    local at = 48
    while at + 4 <= descriptor:len() do
        local length = math.min(descriptor(at + 2, 2):uint() + 4, descriptor:len() - at)
        local entry = descriptor(at, length)
        local branch = tree:add(odx, entry, "Features of a device type")
        add_layout(branch, entry, fields.DEVICE_FEATURES)
        local features = FEATURES[entry(0, 1):bitfield(3, 5)]
        if features then
            add_layout(branch, entry, features)
        elseif length > 4 then
            branch:add(F.not_decoded, entry(4))
        end
        at = at + length
    end
end

local function add_rod_types(tree, descriptor)
    tree:add(F.rod_types_length, descriptor(6, 2))
    for at = 8, descriptor:len() - 64, 64 do
        local entry = descriptor(at, 64)
        local kind = entry(0, 4):uint()
        local text = string.format("ROD type %08Xh: %s", kind, fields.ROD_TYPES[kind] or "unknown")
        add_layout(tree:add(odx, entry, text), entry, fields.ROD_TYPE)
    end
end

local function of_layout(rows)
    return function(tree, descriptor)
        add_layout(tree, descriptor, rows)
    end
end

local DESCRIBE = {
    [0x0000] = of_layout(fields.TOKEN_LIMITS),
    [0x0001] = add_supported_commands,
    [0x0004] = of_layout(fields.PARAMETER_DATA),
    [0x0008] = add_list(F.descriptors_length, 1, F.descriptors_code, 1),
    [0x000C] = add_list(F.cscd_ids_length, 2, F.cscd_id, 2),
    [0x000D] = of_layout(fields.COPY_GROUP),
    [0x0106] = add_token_features,
    [0x0108] = add_rod_types,
    [0x8001] = of_layout(fields.GENERAL_COPY),
    [0x9101] = of_layout(fields.STREAM_COPY),
    [0xC001] = of_layout(fields.HELD_DATA),
}
local LEAST_DESCRIPTOR_BYTES = 8

local function add_page(tree, data)
    local part = tree:add(odx, data, "VPD page 8Fh, third-party copy")
    add_layout(part, data, fields.PAGE)
    local at = 4
    while at + 4 <= data:len() do
        local length = math.min(data(at + 2, 2):uint() + 4, data:len() - at)
        local descriptor = data(at, length)
        local kind = descriptor(0, 2):uint()
        local text = string.format("Descriptor %04Xh: %s", kind, fields.DESCRIPTORS[kind] or "unknown")
        local branch = part:add(odx, descriptor, text)
        add_layout(branch, descriptor, fields.DESCRIPTOR)
        if DESCRIBE[kind] and length >= LEAST_DESCRIPTOR_BYTES then
            DESCRIBE[kind](branch, descriptor)
        elseif length > 4 then
            branch:add(F.not_decoded, descriptor(4))
        end
        at = at + length
    end
end

return {
    add_populate_token = add_populate_token,
    add_write_using_token = add_write_using_token,
    add_copy_result = add_copy_result,
    add_all_tokens = add_all_tokens,
    add_page = add_page,
}
