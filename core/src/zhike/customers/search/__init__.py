"""Search for customers: what is indexed of them, how a query is read, and how both meet in SQL."""
