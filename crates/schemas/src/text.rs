//! Text forms of values: dates, times, timestamps, decimals, base64.
