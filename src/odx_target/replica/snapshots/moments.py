"""Times as text, for the names of snapshots."""

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400

DAYS_OF_ERA = 146_097
"""Days of 400 years."""

EPOCH_DAY = 719_468
"""Number of 1970-01-01 if 0000-03-01 is day 0. Years that begin in March have the leap day at their end."""


def moment_text(time_s: float) -> str:
    """Return a time in UTC, such as 2026-11-30T09:05:00Z. `time_s` are seconds since 1970."""
    day, second = divmod(int(time_s), DAY_S)
    era, day_of_era = divmod(day + EPOCH_DAY, DAYS_OF_ERA)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day_of_month = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    hour, minute = second // HOUR_S, second % HOUR_S // MINUTE_S
    return f"{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second % MINUTE_S:02}Z"
