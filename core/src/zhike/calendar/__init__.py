"""Working calendars: opening hours, public holidays and make-up working days, and time counted by them."""
