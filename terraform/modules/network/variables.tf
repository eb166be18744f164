variable "name" {
  type        = string
  description = "What all names begin with."
}

variable "region" {
  type        = string
  description = "AWS region."
}

variable "cidr" {
  type        = string
  description = "Addresses of the VPC, a /16."
}

variable "nat_per_zone" {
  type        = bool
  description = "A NAT gateway in each zone, so that the loss of a zone takes none of the others away; else one."
}

variable "logs_bucket_arn" {
  type        = string
  description = "Where refused connections are logged."
}
