#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
    Copies a file between two LUNs of an iSCSI target with and without ODX, proves which copy was offloaded, and collects
    the evidence in one folder.

.DESCRIPTION
    NOT YET RUN ON A REAL WINDOWS. It was written from public documentation; read it before you run it.

    Run this script in an elevated 64-bit PowerShell (5.1 or 7) on Windows Server 2016 or later, or Windows 10 or 11. The target
    needs two LUNs of at least 8 GB each. With -Initialize both LUNs are partitioned and formatted, and all their data is lost.

    A copy counts as offloaded only if its bytes did not cross the network. The script reads the byte counters of the interfaces
    of the sessions before and after each copy, and first writes out the caches of both volumes. The first copy is made without
    ODX. If the counters do not show the bytes of that copy, they prove nothing, and the run fails.

    -WhatIf lists the changes that a run would make, and changes nothing.

.PARAMETER Portal
    Address of the target portal.

.PARAMETER TargetName
    The IQN of the target.

.PARAMETER ChapUser
    User name for CHAP, for discovery and login. Needs -ChapSecret or -ChapSecretFile.

.PARAMETER ChapSecret
    The secret of -ChapUser, 12 to 16 characters.

.PARAMETER ChapSecretFile
    A file with the secret on its first line, instead of -ChapSecret.

.PARAMETER MutualSecret
    The secret by which the target proves itself, 12 to 16 characters; it must differ from -ChapSecret. Windows sets it for the
    whole host and all targets, and it stays set.

.PARAMETER MutualSecretFile
    A file with the mutual secret on its first line, instead of -MutualSecret.

.PARAMETER Digests
    Requires header and data digests.

.PARAMETER Initialize
    Takes the first two disks of the target, which must be raw, and formats them as -SourceLetter and -DestinationLetter.

.PARAMETER DiskTimeoutSeconds
    The time to wait for the two disks after the login.

.PARAMETER OutputFolder
    The folder for all results; by default a new folder in the current folder.

.EXAMPLE
    .\Test-OdxTarget.ps1 -Portal 192.0.2.10 -TargetName iqn.2026-11.io.odx-target:array -Initialize

.EXAMPLE
    .\Test-OdxTarget.ps1 -Portal 192.0.2.10 -TargetName iqn.2026-11.io.odx-target:array -ChapUser windows -ChapSecretFile .\windows.secret -MutualSecretFile .\array.secret
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)] [string] $Portal,
    [Parameter(Mandatory)] [string] $TargetName,
    [int] $Port = 3260,
    [string] $ChapUser,
    [securestring] $ChapSecret,
    [string] $ChapSecretFile,
    [securestring] $MutualSecret,
    [string] $MutualSecretFile,
    [switch] $Digests,
    [switch] $Initialize,
    [char] $SourceLetter = 'S',
    [char] $DestinationLetter = 'T',
    [uint64] $FileBytes = 1GB,
    [uint64] $ZeroBytes = 2GB,
    [int] $DiskTimeoutSeconds = 60,
    [string] $OutputFolder = (Join-Path $PWD ('odx-' + (Get-Date -Format 'yyyyMMdd-HHmmss')))
)

$ErrorActionPreference = 'Stop'
# If more than this part of the bytes of a copy cross the network, the copy used reads and writes. Token commands need far less.
$OffloadedPart = 1 / 16

function Show-Plan {
    $steps = @(
        @($OutputFolder, 'make this folder and collect everything in it'),
        @('event log Microsoft-Windows-Storage-ClassPnP/Operational', 'enable'),
        @('service MSiSCSI', 'start it, now and with Windows'),
        @("iSCSI portal ${Portal}:$Port", 'remove and add again'),
        @($TargetName, 'log in')
    )
    if ($MutualSecret -or $MutualSecretFile) { $steps += , @('this host', 'set the CHAP secret by which all targets prove themselves') }
    if ($Initialize) { $steps += , @('the first two disks of the target', "partition and format as $SourceLetter and $DestinationLetter") }
    $steps += , @("${SourceLetter}:\source.bin", "write $FileBytes bytes")
    foreach ($name in 'plain\source.bin', 'odx.bin', 'manual.bin') { $steps += , @("${DestinationLetter}:\$name", "write $FileBytes bytes") }
    foreach ($name in 'zeroed.bin', 'zeros.bin') { $steps += , @("${DestinationLetter}:\$name", "write $ZeroBytes bytes") }
    foreach ($step in $steps) { $PSCmdlet.ShouldProcess($step[0], $step[1]) | Out-Null }
}

if ($WhatIfPreference) {
    Show-Plan
    exit 0
}

$script:Results = [Collections.Generic.List[object]]::new()
$Began = Get-Date
New-Item -ItemType Directory -Path $OutputFolder | Out-Null
Start-Transcript -Path (Join-Path $OutputFolder 'transcript.txt') | Out-Null

function Add-Result([string] $Step, [bool] $Passed, [string] $Detail) {
    $script:Results.Add([pscustomobject]@{ Step = $Step; Passed = $Passed; Detail = $Detail })
    $mark = if ($Passed) { 'ok  ' } else { 'FAIL' }
    Write-Host "$mark $Step  $Detail"
}

function Invoke-Step([string] $Step, [scriptblock] $Body) {
    # A failed step is reported, and the next step is tried, so that the run has partial results.
    try { & $Body } catch { Add-Result $Step $false $_.Exception.Message }
}

function Get-Secret([string] $Name, [securestring] $Given, [string] $File) {
    # Returns the secret in clear text, as the iSCSI cmdlets need it, or $null if there is none. It is never shown.
    $secret = if ($Given) { [Net.NetworkCredential]::new('', $Given).Password } elseif ($File) { Get-Content -Path $File -TotalCount 1 }
    if ($null -eq $secret) { return }
    if ($secret.Length -lt 12 -or $secret.Length -gt 16) { throw "$Name has $($secret.Length) characters, Windows takes 12 to 16" }
    $secret
}

function Save-Text([string] $Name, $Value) {
    $Value | Out-String -Width 250 | Set-Content -Path (Join-Path $OutputFolder $Name) -Encoding UTF8
}

Add-Type -TypeDefinition @'
using System;
using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

// The offload controls of a file system and the copy offload property of a disk.
public static class OdxControl
{
    const uint QueryProperty = 0x2D1400, OffloadRead = 0x94264, OffloadWrite = 0x98268;
    const int CopyOffloadProperty = 13, TokenBytes = 512;

    [DllImport("kernel32.dll", SetLastError = true, CharSet = CharSet.Unicode)]
    static extern SafeFileHandle CreateFileW(
        string name, uint access, uint share, IntPtr security, uint disposition, uint flags, IntPtr template);

    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool DeviceIoControl(
        SafeFileHandle handle, uint code, byte[] input, int inputBytes, byte[] output, int outputBytes,
        out int returned, IntPtr overlapped);

    static byte[] Control(string name, uint access, uint code, byte[] input, int outputBytes)
    {
        using (var handle = CreateFileW(name, access, 7, IntPtr.Zero, 3, 0, IntPtr.Zero))
        {
            if (handle.IsInvalid) throw new Win32Exception(Marshal.GetLastWin32Error());
            var output = new byte[outputBytes];
            int returned;
            if (!DeviceIoControl(handle, code, input, input.Length, output, outputBytes, out returned, IntPtr.Zero))
                throw new Win32Exception(Marshal.GetLastWin32Error());
            return output;
        }
    }

    static void Put(byte[] buffer, int at, uint value) { BitConverter.GetBytes(value).CopyTo(buffer, at); }
    static void Put(byte[] buffer, int at, ulong value) { BitConverter.GetBytes(value).CopyTo(buffer, at); }

    // longest lifetime, default lifetime, largest transfer, optimal transfer, descriptors; fails where VPD page 8Fh was refused
    public static ulong[] Limits(int disk)
    {
        var input = new byte[12];
        Put(input, 0, (uint)CopyOffloadProperty);
        var reply = Control(@"\\.\PhysicalDrive" + disk, 0, QueryProperty, input, 48);
        return new ulong[] {
            BitConverter.ToUInt32(reply, 8), BitConverter.ToUInt32(reply, 12), BitConverter.ToUInt64(reply, 16),
            BitConverter.ToUInt64(reply, 24), BitConverter.ToUInt32(reply, 32) };
    }

    // how many bytes the token stands for
    public static ulong Read(string file, ulong offset, ulong length, byte[] token)
    {
        var input = new byte[32];
        Put(input, 0, 32u); Put(input, 16, offset); Put(input, 24, length);
        var reply = Control(file, 0x80000000, OffloadRead, input, 16 + TokenBytes);
        Array.Copy(reply, 16, token, 0, TokenBytes);
        return BitConverter.ToUInt64(reply, 8);
    }

    // how many bytes were written
    public static ulong Write(string file, ulong offset, ulong length, ulong tokenOffset, byte[] token)
    {
        var input = new byte[32 + TokenBytes];
        Put(input, 0, (uint)input.Length); Put(input, 8, offset); Put(input, 16, length); Put(input, 24, tokenOffset);
        Array.Copy(token, 0, input, 32, TokenBytes);
        return BitConverter.ToUInt64(Control(file, 0xC0000000, OffloadWrite, input, 16), 8);
    }

    public static byte[] ZeroToken()
    {
        var token = new byte[TokenBytes];
        token[0] = 0xFF; token[1] = 0xFF; token[3] = 0x01; token[6] = 0x01; token[7] = 0xF8;
        return token;
    }
}
'@

function Connect-Target {
    Set-Service -Name MSiSCSI -StartupType Automatic
    Start-Service -Name MSiSCSI
    $secret = Get-Secret 'ChapSecret' $ChapSecret $ChapSecretFile
    $mutual = Get-Secret 'MutualSecret' $MutualSecret $MutualSecretFile
    if ([bool] $ChapUser -ne [bool] $secret) { throw 'ChapUser and ChapSecret or ChapSecretFile go together' }
    if ($mutual -and -not $secret) { throw 'a target proves itself only to a host that does: give ChapUser, too' }
    $proof = @{}
    if ($secret) { $proof = @{ AuthenticationType = 'ONEWAYCHAP'; ChapUsername = $ChapUser; ChapSecret = $secret } }
    if ($mutual) {
        Set-IscsiChapSecret -ChapSecret $mutual
        $proof.AuthenticationType = 'MUTUALCHAP'
    }
    $digest = @{ IsHeaderDigest = [bool] $Digests; IsDataDigest = [bool] $Digests }
    # Discovery uses CHAP separately from the login. A known portal keeps its old settings, so it is removed and added again.
    Get-IscsiTargetPortal | Where-Object TargetPortalAddress -EQ $Portal | Remove-IscsiTargetPortal -Confirm:$false
    New-IscsiTargetPortal -TargetPortalAddress $Portal -TargetPortalPortNumber $Port @proof @digest | Out-Null
    $found = Get-IscsiTarget | Where-Object NodeAddress -EQ $TargetName
    Add-Result 'discovery' ($null -ne $found) $TargetName
    if (-not $found) { throw "the portal $Portal does not list $TargetName" }
    if ($found.IsConnected) {
        Add-Result 'login' $true 'the session that was there already, however it was made'
        return
    }
    Connect-IscsiTarget -NodeAddress $TargetName -TargetPortalAddress $Portal -TargetPortalPortNumber $Port @proof @digest | Out-Null
    Add-Result 'login' $true $(if ($secret) { $proof.AuthenticationType } else { 'no authentication' })
}

function Get-TargetDisk {
    Get-IscsiSession | Where-Object TargetNodeAddress -EQ $TargetName | Get-Disk | Sort-Object -Property Number -Unique
}

function Wait-TargetDisk {
    # Disks appear some seconds after the login.
    $limit = (Get-Date).AddSeconds($DiskTimeoutSeconds)
    do {
        Update-HostStorageCache
        $disks = @(Get-TargetDisk)
        if ($disks.Count -ge 2) { return $disks }
        Start-Sleep -Seconds 1
    } while ((Get-Date) -lt $limit)
    throw "the target has $($disks.Count) disks after $DiskTimeoutSeconds seconds, two are needed"
}

function Assert-Volume([char] $Letter, [int[]] $Numbers) {
    # The letter must not belong to another disk: the script would write to it, and the result would prove nothing.
    $number = (Get-Partition -DriveLetter $Letter).DiskNumber
    if ($Numbers -notcontains $number) { throw "volume $Letter is on disk $number, which is not the target's" }
}

function Initialize-Volumes($Disks) {
    $letters = $SourceLetter, $DestinationLetter
    for ($number = 0; $number -lt 2; $number++) {
        $disk = $Disks[$number]
        if ($disk.PartitionStyle -ne 'RAW') { throw "disk $($disk.Number) is not raw: it may hold data" }
        if (-not $PSCmdlet.ShouldProcess("disk $($disk.Number)", 'partition and format')) { return }
        Set-Disk -Number $disk.Number -IsOffline $false
        Set-Disk -Number $disk.Number -IsReadOnly $false
        Initialize-Disk -Number $disk.Number -PartitionStyle GPT
        New-Partition -DiskNumber $disk.Number -UseMaximumSize -DriveLetter $letters[$number] | Out-Null
        Format-Volume -DriveLetter $letters[$number] -FileSystem NTFS -NewFileSystemLabel "ODX$number" -Confirm:$false | Out-Null
    }
    Add-Result 'volumes' $true "$SourceLetter and $DestinationLetter"
}

function Save-VolumeState([char] $Letter) {
    $volume = Get-Volume -DriveLetter $Letter
    Save-Text "volume-$Letter.txt" @($volume | Format-List *; fsutil fsinfo volumeinfo "${Letter}:"; fsutil fsinfo sectorinfo "${Letter}:")
    Add-Result "volume $Letter" ($volume.FileSystemType -eq 'NTFS') "$($volume.FileSystemType), cluster $($volume.AllocationUnitSize)"
    $filters = fltmc instances -v "${Letter}:"
    Save-Text "filters-$Letter.txt" $filters
    # SprtFtrs, eight hexadecimal digits: bit 0 offload read, bit 1 offload write
    $against = @($filters | Where-Object { $_ -match '\s([0-9a-fA-F]{8})(\s|$)' -and ([Convert]::ToInt32($Matches[1], 16) -band 3) -ne 3 })
    Add-Result "filters of $Letter" ($against.Count -eq 0) "$($against.Count) without offload, see filters-$Letter.txt"
}

function Save-OdxState($Disks) {
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Control'
    $mode = (Get-ItemProperty "$key\FileSystem" -Name FilterSupportedFeaturesMode -ErrorAction SilentlyContinue).FilterSupportedFeaturesMode
    Add-Result 'host switch' (-not $mode) "FilterSupportedFeaturesMode is $(if ($null -eq $mode) { 'absent' } else { $mode })"
    Save-Text 'registry.txt' @(
        Get-ItemProperty "$key\DISK" -ErrorAction SilentlyContinue
        Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Services\Disk' -ErrorAction SilentlyContinue
    )
    foreach ($letter in $SourceLetter, $DestinationLetter) {
        Save-VolumeState $letter
    }
    Save-Text 'sessions.txt' @(Get-IscsiSession | Format-List *; Get-IscsiConnection | Format-List *)
    Save-Text 'disks.txt' ($Disks | Format-List *)
    foreach ($disk in $Disks) {
        Invoke-Step "limits of disk $($disk.Number)" {
            $limits = [OdxControl]::Limits($disk.Number)
            Add-Result "limits of disk $($disk.Number)" $true (
                'lifetime {0} s, default {1} s, largest {2}, optimal {3} blocks, {4} descriptors' -f $limits)
        }
    }
}

function New-PatternFile([string] $Path, [long] $Bytes) {
    # The file needs real data. If only its length is set, NTFS uses the zero token and sends no command.
    $random = [Security.Cryptography.RandomNumberGenerator]::Create()
    $block = [byte[]]::new(4MB)
    $stream = [IO.File]::Create($Path)
    try {
        for ([long] $done = 0; $done -lt $Bytes; $done += $block.Length) {
            $random.GetBytes($block)
            $stream.Write($block, 0, [int] [Math]::Min($block.Length, $Bytes - $done))
        }
        $stream.Flush($true)
    } finally { $stream.Dispose() }
}

function New-EmptyFile([string] $Path, [long] $Bytes) {
    $stream = [IO.File]::Create($Path)
    try { $stream.SetLength($Bytes) } finally { $stream.Dispose() }
}

function Get-PathInterface {
    # Returns the network interfaces of the sessions of the target, which have the addresses of its connections.
    $connections = Get-IscsiSession | Where-Object TargetNodeAddress -EQ $TargetName | Get-IscsiConnection
    $addresses = @($connections | ForEach-Object { $_.InitiatorAddress -replace '%.*' })
    [Net.NetworkInformation.NetworkInterface]::GetAllNetworkInterfaces() | Where-Object {
        $own = $_.GetIPProperties().UnicastAddresses | ForEach-Object { $_.Address.ToString() -replace '%.*' }
        @($own | Where-Object { $addresses -contains $_ }).Count -gt 0
    }
}

function Get-NetworkBytes {
    # Returns the bytes that these interfaces have received and sent. Looks up the paths each time, because they may change.
    [long] $bytes = 0
    foreach ($interface in @(Get-PathInterface)) {
        $statistics = $interface.GetIPStatistics()
        $bytes += $statistics.BytesReceived + $statistics.BytesSent
    }
    $bytes
}

function Measure-Copy([scriptblock] $Copy) {
    # Returns seconds and network bytes. Caches are written out, because cached data has not crossed the network yet.
    Write-VolumeCache -DriveLetter $SourceLetter, $DestinationLetter
    $before = Get-NetworkBytes
    $seconds = (Measure-Command {
        & $Copy
        Write-VolumeCache -DriveLetter $SourceLetter, $DestinationLetter
    }).TotalSeconds
    [pscustomobject]@{ Seconds = $seconds; Bytes = (Get-NetworkBytes) - $before }
}

function Add-Proof([string] $Step, $Measured, [uint64] $Bytes) {
    # A copy is offloaded only if its bytes did not cross the network, and if the counters have shown the copy without ODX.
    $detail = '{0:n0} bytes crossed the network for {1:n0}' -f $Measured.Bytes, $Bytes
    $offloaded = $Measured.Bytes -ge 0 -and $Measured.Bytes -lt $Bytes * $OffloadedPart
    if (-not $script:CountersSee) { $detail += '; the counters missed the copy without ODX, so this proves nothing' }
    elseif (-not $offloaded) { $detail += '; the copy engine fell back to reads and writes' }
    Add-Result "$Step is offloaded" ($offloaded -and $script:CountersSee) $detail
}

function Compare-Files([string] $Step, [string] $One, [string] $Other, [double] $Seconds) {
    $hashes = (Get-FileHash $One).Hash, (Get-FileHash $Other).Hash
    Add-Result $Step ($hashes[0] -eq $hashes[1]) ('{0:n2} s, SHA-256 {1}' -f $Seconds, $hashes[1])
}

function Test-Token([string] $Source, [string] $Destination) {
    $token = [byte[]]::new(512)
    [uint64] $position = 0
    while ($position -lt $FileBytes) {
        $held = [OdxControl]::Read($Source, $position, $FileBytes - $position, $token)
        if ($held -eq 0) { throw "no token at byte $position" }
        for ([uint64] $spent = 0; $spent -lt $held;) {
            $length = [Math]::Min([uint64] 256MB, $held - $spent)
            $written = [OdxControl]::Write($Destination, $position + $spent, $length, $spent, $token)
            if ($written -eq 0) { throw "nothing written at byte $($position + $spent)" }
            $spent += $written
        }
        $position += $held
    }
}

function Test-ZeroToken([string] $Path) {
    $token = [OdxControl]::ZeroToken()
    [uint64] $position = 0
    while ($position -lt $ZeroBytes) {
        $written = [OdxControl]::Write($Path, $position, [Math]::Min([uint64] 256MB, $ZeroBytes - $position), 0, $token)
        if ($written -eq 0) { throw "nothing written at byte $position" }
        $position += $written
    }
}

function Get-EventText($Entry) {
    # Returns the message and all data. The port driver puts the target name into dump data, with one or two bytes a character.
    $Entry.Message
    foreach ($property in $Entry.Properties) {
        if ($property.Value -is [byte[]]) {
            [Text.Encoding]::ASCII.GetString($property.Value)
            [Text.Encoding]::Unicode.GetString($property.Value)
        } else { "$($property.Value)" }
    }
}

function Test-EventOfTarget($Entry, $Disks) {
    # True for an event that names the target, one of its disks or volumes. An event that names no device counts if no other
    # target is connected, because it can then only be about this target.
    $text = (Get-EventText $Entry) -join ' '
    if ($text -match [regex]::Escape($TargetName) -or $text -match "\b[$SourceLetter$DestinationLetter]:") { return $true }
    foreach ($disk in $Disks) {
        if ($text -match "(Harddisk|PhysicalDrive|MPIODisk|\bdisk )$($disk.Number)(\D|$)") { return $true }
        if ($disk.SerialNumber -and $text.Contains($disk.SerialNumber.Trim())) { return $true }
    }
    if ($text -match '(Harddisk|PhysicalDrive|MPIODisk|\bdisk )\d|\b(iqn|eui|naa)\.|\b[A-Z]:') { return $false }
    @(Get-IscsiSession | Where-Object TargetNodeAddress -NE $TargetName).Count -eq 0
}

function Save-Events {
    $sources = 'iScsiPrt', 'MSiSCSI', 'disk', 'mpio', 'msdsm', 'Ntfs', 'storport'
    $disks = @(Get-TargetDisk)
    $system = Get-WinEvent -FilterHashtable @{ LogName = 'System'; StartTime = $Began } -ErrorAction SilentlyContinue |
        Where-Object ProviderName -In $sources
    $class = Get-WinEvent -FilterHashtable @{ LogName = 'Microsoft-Windows-Storage-ClassPnP/Operational'; StartTime = $Began } -ErrorAction SilentlyContinue
    $ofTarget = @{ Name = 'OfTarget'; Expression = { Test-EventOfTarget $_ $disks } }
    $columns = 'TimeCreated', 'ProviderName', 'Id', 'Level', 'LevelDisplayName', 'Message', $ofTarget
    $found = @($system) + @($class) | Where-Object { $_ } | Select-Object -Property $columns
    $found | Export-Csv -Path (Join-Path $OutputFolder 'events.csv') -NoTypeInformation -Encoding UTF8
    $bad = @($found | Where-Object { $_.OfTarget -and ($_.Level -in 1, 2, 3 -or ($_.Id -eq 507 -and $_.ProviderName -notin $sources)) })
    Add-Result 'events' ($bad.Count -eq 0) "$($bad.Count) errors and warnings about the target, see OfTarget in events.csv"
}

try {
    wevtutil set-log Microsoft-Windows-Storage-ClassPnP/Operational /enabled:true
    Connect-Target
    $disks = @(Wait-TargetDisk)
    if ($Initialize) { Initialize-Volumes $disks }
    foreach ($letter in $SourceLetter, $DestinationLetter) { Assert-Volume $letter $disks.Number }
    Save-OdxState $disks
    $paths = @(Get-PathInterface)
    Add-Result 'network path' ($paths.Count -gt 0) "$($paths.Name -join ', ')"

    $source = "${SourceLetter}:\source.bin"
    $withOdx, $plain = "${DestinationLetter}:\odx.bin", "${DestinationLetter}:\plain"
    New-PatternFile $source $FileBytes
    $script:CountersSee = $false
    Invoke-Step 'copy without ODX' {
        $measured = Measure-Copy {
            robocopy "${SourceLetter}:\" $plain source.bin /J /NOOFFLOAD /NJH /NJS /NP | Out-Null
            if ($LASTEXITCODE -ge 8) { throw "robocopy ended with $LASTEXITCODE" }
        }
        Compare-Files 'copy without ODX' $source (Join-Path $plain 'source.bin') $measured.Seconds
        $script:CountersSee = $measured.Bytes -ge $FileBytes
        Add-Result 'counters see a copy without ODX' $script:CountersSee (
            '{0:n0} bytes crossed the network for {1:n0}' -f $measured.Bytes, $FileBytes)
    }
    Invoke-Step 'copy with ODX' {
        $measured = Measure-Copy { Copy-Item $source $withOdx }
        Compare-Files 'copy with ODX' $source $withOdx $measured.Seconds
        Add-Proof 'copy with ODX' $measured $FileBytes
    }
    Invoke-Step 'tokens by hand' {
        $manual = "${DestinationLetter}:\manual.bin"
        New-EmptyFile $manual $FileBytes
        $measured = Measure-Copy { Test-Token $source $manual }
        Compare-Files 'tokens by hand' $source $manual $measured.Seconds
        Add-Proof 'copy by tokens by hand' $measured $FileBytes
    }
    Invoke-Step 'zero token' {
        $zeroed, $zeros = "${DestinationLetter}:\zeroed.bin", "${DestinationLetter}:\zeros.bin"
        # The file is filled with data first, because NTFS would write nothing beyond the valid data.
        New-PatternFile $zeroed $ZeroBytes
        $measured = Measure-Copy { Test-ZeroToken $zeroed }
        New-EmptyFile $zeros $ZeroBytes
        Compare-Files 'zero token' $zeros $zeroed $measured.Seconds
        Add-Proof 'zeroing by the zero token' $measured $ZeroBytes
    }
} catch {
    Add-Result 'the run' $false $_.Exception.Message
} finally {
    Invoke-Step 'events' { Save-Events }
    $script:Results | ConvertTo-Json | Set-Content -Path (Join-Path $OutputFolder 'results.json') -Encoding UTF8
    Stop-Transcript | Out-Null
    Write-Host "collected in $OutputFolder"
}
if ($script:Results | Where-Object { -not $_.Passed }) { exit 1 }
exit 0
