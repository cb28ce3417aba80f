"""The corpus out again: written in the formats that trainers read, with a ledger of all that was inserted."""
